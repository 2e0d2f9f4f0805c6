/* SPDX-License-Identifier: MIT
 *
 * Growing arena: graphs and plans consist of thousands of small objects that die together.
 */
#include "base.h"

#include <stdio.h>
#include <string.h>

struct nni_chunk {
    struct nni_chunk *next;
    size_t size, used;
    char *data;
};

enum { CHUNK = 1 << 16 };

void *nni_arena_take(nni_arena *arena, size_t size)
{
    struct nni_chunk *c = arena->chunk;
    size_t need;
    void *at;

    if (size > PTRDIFF_MAX / 2)
        return NULL;
    need = (size + 15) & ~(size_t)15;
    if (!c || c->size - c->used < need) {
        size_t bytes = need > CHUNK ? need : CHUNK;

        c = nni_alloc(sizeof *c + 64 + bytes);
        if (!c)
            return NULL;
        *c = (struct nni_chunk){ .next = arena->chunk, .size = bytes, .data = (char *)c + 64 };
        arena->chunk = c;
        arena->total += bytes;
    }
    at = c->data + c->used;
    c->used += need;
    return memset(at, 0, need);
}

char *nni_arena_text(nni_arena *arena, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = nni_arena_take(arena, size);

    return copy ? memcpy(copy, text, size) : NULL;
}

char *nni_arena_printf(nni_arena *arena, const char *format, ...)
{
    va_list args;
    char *text = NULL;
    int n;

    va_start(args, format);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n >= 0)
        text = nni_arena_take(arena, (size_t)n + 1);
    if (text) {
        va_start(args, format);
        (void)vsnprintf(text, (size_t)n + 1, format, args);
        va_end(args);
    }
    return text;
}

void nni_arena_free(nni_arena *arena)
{
    while (arena->chunk) {
        struct nni_chunk *c = arena->chunk;

        arena->chunk = c->next;
        nni_free(c);
    }
    arena->total = 0;
}
