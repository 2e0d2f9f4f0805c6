/* SPDX-License-Identifier: MIT
 *
 * The families in one list. Each has a table of its own; here they follow one another.
 */
#include <nn/models/networks.h>
#include <string.h>

#define FAMILY(family, head_scope)                                                                           \
    static nn_tensor *family##_record(nn_graph *g, nn_tensor *image, const char *name, int64_t classes)      \
    {                                                                                                        \
        nn_##family##_config c = *nn_##family##_find(name);                                                  \
                                                                                                             \
        c.classes = classes;                                                                                 \
        return nn_##family(g, image, &c);                                                                    \
    }                                                                                                        \
    static int family##_at(int index, nn_network *out)                                                       \
    {                                                                                                        \
        const nn_##family##_config *c = nn_##family##_at(index);                                             \
                                                                                                             \
        if (c)                                                                                               \
            *out = (nn_network){ c->name, head_scope, c->resolution, family##_record };                      \
        return c != NULL;                                                                                    \
    }
FAMILY(efficientnet, "classifier.1")
FAMILY(resnet, "fc")
FAMILY(vgg, "classifier.6")

int nn_network_at(int index, nn_network *out)
{
    static int (*const family[])(int, nn_network *) = { efficientnet_at, resnet_at, vgg_at };

    for (size_t f = 0; index >= 0 && f < sizeof family / sizeof *family; f++) {
        int members = 0;

        if (family[f](index, out))
            return NN_OK;
        while (family[f](members, out))
            members++;
        index -= members;
    }
    *out = (nn_network){ 0 };
    return NN_ENOTFOUND;
}

int nn_network_find(const char *name, nn_network *out)
{
    for (int i = 0; !nn_network_at(i, out); i++)
        if (!strcmp(out->name, name))
            return NN_OK;
    return NN_ENOTFOUND;
}
