/* SPDX-License-Identifier: MIT
 *
 * A table of learned vectors, one for each token, place or category, looked up by number. torch draws them
 * from N(0,1); transformers usually begin much smaller.
 */
#include <nn/layers.h>

nn_tensor *nn_layer_embedding(nn_graph *g, const char *name, nn_tensor *index, nn_embedding_opts opts)
{
    nn_init init = { .kind = NN_INIT_NORMAL, .a = opts.init_std != 0 ? opts.init_std : 1 };
    nn_tensor *x;

    if (!name || !index)
        return nn_graph_fail(g, NN_EINVAL, "nn_layer_embedding needs a name and an index");
    if (opts.count < 1 || opts.width < 1)
        return nn_graph_fail(g, NN_ESHAPE, "embedding '%s': no table has %lld rows of %lld", name,
                             (long long)opts.count, (long long)opts.width);
    nn_push(g, name);
    x = nn_embedding(g, nn_param(g, "weight", NN_SHAPE2(opts.count, opts.width), init), index);
    nn_pop(g);
    return x;
}
