/* SPDX-License-Identifier: MIT
 *
 * The data model of torch.save's pickles: plain values, and tensors described by storages. Nothing else can
 * come into being: an object of any other class becomes an inert node that remembers its class's name, and
 * no callable is ever called.
 */
#ifndef NNI_PICKLE_H
#define NNI_PICKLE_H

#include "base/base.h"

enum nni_node_kind {
    NNI_NODE_NONE,
    NNI_NODE_BOOL,
    NNI_NODE_INT,
    NNI_NODE_REAL,
    NNI_NODE_TEXT,
    NNI_NODE_TUPLE,
    NNI_NODE_LIST,
    NNI_NODE_DICT,    /* `item` alternates keys and values */
    NNI_NODE_GLOBAL,  /* a class or function of the allow-list, by name */
    NNI_NODE_STORAGE, /* item[0..]: key, number of elements; `text` is the element type */
    NNI_NODE_TENSOR,  /* item[0..3]: storage, offset, sizes, strides */
    NNI_NODE_OPAQUE   /* anything else; `text` is the class */
};

struct nni_node {
    uint8_t kind, depth;
    uint32_t at;          /* byte of the file where it began */
    uint32_t count, room; /* of `item` */
    const char *text;     /* valid UTF-8 */
    union {
        int64_t integer;
        double real;
        struct nni_node **item;
    } u;
};

/* One run of the interpreter over the pickles of a file. */
struct nni_pickle {
    const unsigned char *bytes; /* of the whole file */
    size_t end;                 /* the pickle may not reach beyond this byte */
    const char *label;          /* of the file, for messages */
    bool legacy;                /* persistent ids have a sixth member */
    size_t limit;               /* bytes that all nodes together may take */
    nni_arena arena;            /* what they are in */
    struct nni_node storages;   /* a list of all that occurred */
    size_t opcodes;
    nn_message *why;
};

/* Interprets the pickle that begins at byte *at, which then is the byte behind it. The nodes live as long as
 * p->arena. NN_EFORMAT, NN_EUNSUPPORTED, NN_ENOMEM, with the byte and the opcode in the text. */
int nni_pickle_run(struct nni_pickle *p, size_t *at, struct nni_node **root);
/* The class of a storage of that element type, "FloatStorage"; NULL when there is none. */
const char *nni_storage_class(const char *type);
/* The value of a dict's key, NULL when there is none. */
struct nni_node *nni_node_find(const struct nni_node *dict, const char *key);

#endif
