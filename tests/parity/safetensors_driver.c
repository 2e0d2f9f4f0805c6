/* SPDX-License-Identifier: MIT
 *
 * Lets safetensors_parity.py drive libnn's reader and writer through the public header.
 *
 *   list FILE        one line per tensor: name, dtype, shape, bytes in hex, loadable; then the metadata
 *   copy FROM TO     reads every tensor and writes the same file again (types of nn_dtype only)
 *   check FILE...    per file "ok" or the reason it is refused
 */
#include <nn/io.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int list(const char *path)
{
    nn_message why;
    nn_safetensors *f;

    if (nn_safetensors_open(&f, path, NULL, &why)) {
        (void)fprintf(stderr, "%s\n", why.text);
        return 1;
    }
    for (int64_t i = 0; i < nn_safetensors_count(f); i++) {
        const nn_safetensors_entry *e = nn_safetensors_at(f, i);
        const unsigned char *byte = e->data;

        printf("%s\t%s\t", e->name, e->dtype);
        for (int k = 0; k < e->shape.rank; k++)
            printf(k ? ",%lld" : "%lld", (long long)e->shape.dim[k]);
        printf("\t");
        for (size_t b = 0; b < e->bytes; b++)
            printf("%02x", byte[b]);
        printf("\t%d\n", e->loadable);
    }
    for (int64_t i = 0; i < nn_safetensors_metadata_count(f); i++) {
        const nn_pair *p = nn_safetensors_metadata_at(f, i);

        printf("%s=", p->key);
        for (const unsigned char *c = (const unsigned char *)p->value; *c; c++)
            printf("%02x", *c);
        printf("\n");
    }
    nn_safetensors_free(f);
    return 0;
}

static int copy(const char *from, const char *to)
{
    nn_message why;
    nn_safetensors *f;
    nn_safetensors_item *items;
    nn_pair *pairs;
    int64_t n, m;
    int rc = nn_safetensors_open(&f, from, NULL, &why);

    if (rc) {
        (void)fprintf(stderr, "%s\n", why.text);
        return 1;
    }
    n = nn_safetensors_count(f);
    m = nn_safetensors_metadata_count(f);
    items = calloc((size_t)n + 1, sizeof *items);
    pairs = calloc((size_t)m + 1, sizeof *pairs);
    if (items && pairs) {
        /* Backwards, so that the order of the file is the writer's work. */
        for (int64_t i = 0; i < n; i++) {
            const nn_safetensors_entry *e = nn_safetensors_at(f, n - 1 - i);

            items[i] = (nn_safetensors_item){ e->name, e->type, e->shape, e->data };
        }
        for (int64_t i = 0; i < m; i++)
            pairs[i] = *nn_safetensors_metadata_at(f, m - 1 - i);
        rc = nn_safetensors_write(to, items, n, pairs, m, &why);
        if (rc)
            (void)fprintf(stderr, "%s\n", why.text);
    }
    free(items);
    free(pairs);
    nn_safetensors_free(f);
    return rc != 0;
}

static int check(int n, char **paths)
{
    for (int i = 0; i < n; i++) {
        nn_message why;
        nn_safetensors *f;

        printf("%s\n", nn_safetensors_open(&f, paths[i], NULL, &why) ? why.text : "ok");
        nn_safetensors_free(f);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "list"))
        return list(argv[2]);
    if (argc == 4 && !strcmp(argv[1], "copy"))
        return copy(argv[2], argv[3]);
    if (argc > 2 && !strcmp(argv[1], "check"))
        return check(argc - 2, argv + 2);
    (void)fprintf(stderr, "usage: safetensors_driver list FILE | copy FROM TO | check FILE...\n");
    return 2;
}
