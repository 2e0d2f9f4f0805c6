/* SPDX-License-Identifier: MIT
 *
 * The families in one list. Each has a table of its own; here they follow one another.
 */
#include "families.h"
#include <string.h>

/* `adapt` sets what else the caller may choose of a configuration. */
#define FAMILY(family, head_scope, adapt)                                                                    \
    static nn_tensor *family##_record(nn_graph *g, nn_tensor *image, const nn_network *self, int64_t n)      \
    {                                                                                                        \
        nn_##family##_config c = *nn_##family##_find(self->name);                                            \
                                                                                                             \
        adapt(&c, self);                                                                                     \
        c.classes = n;                                                                                       \
        return nn_##family(g, image, &c);                                                                    \
    }                                                                                                        \
    static int family##_at(int index, nn_network *out)                                                       \
    {                                                                                                        \
        const nn_##family##_config *c = nn_##family##_at(index);                                             \
                                                                                                             \
        if (c)                                                                                               \
            *out = (nn_network){                                                                             \
                .name = c->name, .head = head_scope, .resolution = c->resolution, .record = family##_record  \
            };                                                                                               \
        return c != NULL;                                                                                    \
    }
#define NOTHING(config, self) (void)0
#define AS_TRAINED(config, self) ((config)->padding = (self)->padding, (config)->eps = (self)->eps)
FAMILY(efficientnet, "classifier.1", AS_TRAINED)
FAMILY(resnet, "fc", NOTHING)
FAMILY(vgg, "classifier.6", NOTHING)

int nn_network_at(int index, nn_network *out)
{
    static int (*const family[])(int, nn_network *) = { efficientnet_at, resnet_at, vgg_at };

    if (!out)
        return NN_EINVAL;
    for (size_t f = 0; index >= 0 && f < sizeof family / sizeof *family; f++) {
        int members = 0;

        if (family[f](index, out)) {
            const nn_efficientnet_config *c = nn_efficientnet_find(out->name);

            out->padding = c ? c->padding : NN_PAD_AUTO;
            out->eps = c ? c->eps : 1e-5;
            return NN_OK;
        }
        while (family[f](members, out))
            members++;
        index -= members;
    }
    *out = (nn_network){ 0 };
    return NN_ENOTFOUND;
}

int nn_network_find(const char *name, nn_network *out)
{
    if (!name || !out)
        return NN_EINVAL;
    for (int i = 0; !nn_network_at(i, out); i++)
        if (!strcmp(out->name, name))
            return NN_OK;
    return NN_ENOTFOUND;
}
