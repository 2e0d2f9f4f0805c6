/* SPDX-License-Identifier: MIT
 *
 * Is this JPEG whole? The format has no checksum and stb_image reports success on almost any damage, so this
 * file walks the markers and runs the entropy decoder of every scan once (Huffman codes only: no inverse DCT,
 * no colour, which is why it costs a fraction of the decode). A flipped bit nearly always makes the decoder
 * lose step, and then the scan ends too early, too late, in an undefined code or outside the value range.
 * Progressive refinement needs to know which coefficients are not zero: one bit each is kept for that.
 *
 * Source: ITU-T T.81, annexes B (markers), F (sequential) and G (progressive).
 */
#include "vision.h"

#include <string.h>

enum {
    SOF0 = 0xC0,
    SOF1 = 0xC1,
    SOF2 = 0xC2,
    DHT = 0xC4,
    JPG = 0xC8,
    DAC = 0xCC,
    SOF15 = 0xCF,
    RST0 = 0xD0,
    RST7 = 0xD7,
    SOI = 0xD8,
    EOI = 0xD9,
    SOS = 0xDA,
    DQT = 0xDB,
    DNL = 0xDC,
    DRI = 0xDD,
    APP0 = 0xE0,
    APP1 = 0xE1,
    APP14 = 0xEE,
    APP15 = 0xEF,
    COM = 0xFE,
};

enum {
    COMPONENTS = 4,
    FAST = 9,
    SCANS = 256, /* more only appear in files made to waste time */
    /* An 8-bit image has no coefficient beyond 1024; what rounding adds to that is allowed for apart. Some
     * encoders overshoot on purpose, to hide ringing. */
    MEAN = 1280,
    DETAIL = 2048,
};

struct huffman {
    bool defined;
    uint16_t fast[1 << FAST]; /* length << 8 | symbol; 0: longer than FAST bits */
    int32_t last[17];         /* largest code of each length, -1: none */
    int32_t offset[17];
    uint8_t symbol[256];
};

struct component {
    int id, h, v, quant;
    int64_t across, down; /* blocks that hold pixels */
    int8_t level[64];     /* successive approximation: -1 nothing seen, else the bit position reached */
    int dc;
    const struct huffman *dc_table, *ac_table;
    uint64_t *nonzero; /* per block, progressive only */
};

struct scan {
    int count, first, last, high, low;
    struct component *component[COMPONENTS];
};

struct bits {
    const uint8_t *at, *end;
    uint64_t window; /* next bit on top */
    int count;
    int invented; /* zero bits appended behind a marker or the end */
};

struct walk {
    const uint8_t *data;
    size_t size, at;
    nn_image_info *info;
    nn_message *why;
    struct nni_clean *clean;
    bool adobe, adobe_copied;
    int scans, count;
    int64_t mcu_across, mcu_down, interval;
    struct component component[COMPONENTS];
    struct huffman dc[4], ac[4];
    bool quant_defined[4];
    uint16_t quant[4][64]; /* zigzag order */
    int eob_run;
};

/* ------------------------------------------------------------------------------------------------ bits */

/* Whether one of the eight bytes is FF. */
static inline bool has_ff(uint64_t word)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);

    return (~word - ones) & word & (ones << 7);
}

/* Byte by byte, as the marker that ends the data and stuffed zeros want it. */
static void fill_slowly(struct bits *b)
{
    while (b->count <= 56) {
        unsigned byte = 0;

        if (b->at < b->end && b->at[0] != 0xFF) {
            byte = *b->at++;
        } else if (b->end - b->at >= 2 && b->at[1] == 0) {
            byte = 0xFF;
            b->at += 2;
        } else {
            b->invented += 8;
        }
        b->window |= (uint64_t)byte << (56 - b->count);
        b->count += 8;
    }
}

/* At least 57 bits in the window. */
static inline void fill(struct bits *b)
{
    uint64_t word;
    int bytes = (64 - b->count) >> 3;

    if (b->end - b->at < 8) {
        fill_slowly(b);
        return;
    }
    word = (uint64_t)nni_be32(b->at) << 32 | nni_be32(b->at + 4);
    if (has_ff(word)) {
        fill_slowly(b);
    } else if (bytes) {
        b->window |= word >> (64 - 8 * bytes) << (64 - 8 * bytes) >> b->count;
        b->at += bytes;
        b->count += 8 * bytes;
    }
}

static inline void skip(struct bits *b, int n)
{
    b->window <<= n;
    b->count -= n;
}

/* 0 to 16 bits as an unsigned number. */
static inline unsigned take(struct bits *b, int n)
{
    unsigned value;

    if (n == 0)
        return 0;
    if (b->count < n)
        fill(b);
    value = (unsigned)(b->window >> (64 - n));
    skip(b, n);
    return value;
}

/* T.81 F.2.2.1: the additional bits of a magnitude category. */
static inline int receive(struct bits *b, int n)
{
    int value = (int)take(b, n);

    return n && value < 1 << (n - 1) ? value - (1 << n) + 1 : value;
}

/* A code longer than FAST bits; -1: no such code */
static int long_symbol(struct bits *b, const struct huffman *h)
{
    for (int n = FAST + 1; n <= 16; n++) {
        int32_t code = (int32_t)(b->window >> (64 - n));

        if (code <= h->last[n]) {
            skip(b, n);
            return h->symbol[code + h->offset[n]];
        }
    }
    return -1;
}

/* -1: no such code. Leaves at least 16 bits in the window, enough for what follows a code. */
static inline int symbol(struct bits *b, const struct huffman *h)
{
    unsigned entry;

    if (b->count < 32)
        fill(b);
    entry = h->fast[b->window >> (64 - FAST)];
    if (!entry)
        return long_symbol(b, h);
    skip(b, (int)(entry >> 8));
    return (int)(entry & 255);
}

/* Ran past the marker that ends the data. */
static bool starved(const struct bits *b) { return b->invented > b->count; }

/* ---------------------------------------------------------------------------------------------- blocks */

static bool excessive(int64_t value, unsigned quant, int bound)
{
    int64_t most = bound + (int64_t)quant;

    value *= quant;
    most = most > INT16_MAX ? INT16_MAX : most;
    return value > most || value < -most;
}

static bool dc_first(struct walk *w, struct component *c, struct bits *b, int low)
{
    int n = symbol(b, c->dc_table);

    if (n < 0 || n > 15)
        return false;
    c->dc += receive(b, n);
    return !excessive((int64_t)c->dc * (1 << low), w->quant[c->quant][0], MEAN);
}

static bool sequential_block(struct walk *w, struct component *c, struct bits *b)
{
    const uint16_t *quant = w->quant[c->quant];

    if (!dc_first(w, c, b, 0))
        return false;
    for (int k = 1; k < 64; k++) {
        int rs = symbol(b, c->ac_table), run = rs >> 4, n = rs & 15;

        if (rs < 0)
            return false;
        if (n == 0 && run == 0)
            break;
        if (n == 0 && run != 15)
            return false;
        k += run;
        if (k > 63)
            return false;
        if (quant[k] << n <= DETAIL) /* no value of n bits is excessive */
            skip(b, n);
        else if (excessive(receive(b, n), quant[k], DETAIL))
            return false;
    }
    return true;
}

static bool ac_first_block(struct walk *w, const struct scan *s, struct component *c, struct bits *b,
                           uint64_t *nonzero)
{
    const uint16_t *quant = w->quant[c->quant];

    if (w->eob_run) {
        w->eob_run--;
        return true;
    }
    for (int k = s->first; k <= s->last; k++) {
        int rs = symbol(b, c->ac_table), run = rs >> 4, n = rs & 15;

        if (rs < 0)
            return false;
        if (n == 0 && run < 15) {
            w->eob_run = (1 << run) - 1 + (int)take(b, run);
            break;
        }
        k += run;
        if (k > s->last)
            return false;
        if (n) {
            if (excessive((int64_t)receive(b, n) * (1 << s->low), quant[k], DETAIL))
                return false;
            *nonzero |= UINT64_C(1) << k;
        }
    }
    return true;
}

/* One correction bit for each coefficient of k..last that is not zero yet was seen before. */
static void corrections(struct bits *b, uint64_t nonzero, int k, int last)
{
    uint64_t mask = (~UINT64_C(0) << k) & (~UINT64_C(0) >> (63 - last));
    int n = __builtin_popcountll(nonzero & mask);

    for (; n > 16; n -= 16)
        (void)take(b, 16);
    (void)take(b, n);
}

static bool ac_refine_block(struct walk *w, const struct scan *s, struct component *c, struct bits *b,
                            uint64_t *nonzero)
{
    int k = s->first;

    while (w->eob_run == 0 && k <= s->last) {
        int rs = symbol(b, c->ac_table), run = rs >> 4, n = rs & 15;

        if (rs < 0 || n > 1)
            return false;
        if (n == 0 && run < 15) {
            w->eob_run = (1 << run) + (int)take(b, run);
            break;
        }
        if (n)
            (void)take(b, 1);
        for (; k <= s->last; k++) {
            if (*nonzero >> k & 1)
                (void)take(b, 1);
            else if (run-- == 0)
                break;
        }
        if (k > s->last)
            return false;
        if (n)
            *nonzero |= UINT64_C(1) << k;
        k++;
    }
    if (w->eob_run) {
        if (k <= s->last)
            corrections(b, *nonzero, k, s->last);
        w->eob_run--;
    }
    return true;
}

static bool block(struct walk *w, const struct scan *s, struct component *c, struct bits *b, int64_t index)
{
    if (!w->info->progressive)
        return sequential_block(w, c, b);
    if (s->first == 0) {
        if (s->high == 0)
            return dc_first(w, c, b, s->low);
        (void)take(b, 1);
        return true;
    }
    if (s->high == 0)
        return ac_first_block(w, s, c, b, &c->nonzero[index]);
    return ac_refine_block(w, s, c, b, &c->nonzero[index]);
}

/* ------------------------------------------------------------------------------------------------ scan */

static int damaged(struct walk *w, const uint8_t *at, const char *what)
{
    return nni_fail(w->why, NN_EFORMAT, "JPEG: damaged: scan %d, near byte %zu: %s; get the file again",
                    w->scans, (size_t)(at - w->data), what);
}

/* The data before a marker must be used up to the last byte; zero bytes are padding that some cameras write.
 */
static int scan_end(struct walk *w, const struct bits *b)
{
    int valid = b->count - b->invented;

    if (starved(b))
        return damaged(w, b->at, "the entropy-coded data end too early");
    if ((valid >= 8 && b->window << (valid & 7)) || (b->at < b->end && b->at[0] != 0xFF && b->at[0] != 0))
        return damaged(w, b->at, "more entropy-coded data than pixels");
    if (w->eob_run)
        return damaged(w, b->at, "a run of empty blocks goes beyond the last block");
    return NN_OK;
}

static int restart(struct walk *w, const struct scan *s, struct bits *b, int64_t number)
{
    const uint8_t *at = b->at;
    int rc = scan_end(w, b);

    if (rc)
        return rc;
    while (b->end - at >= 2 && at[0] == 0xFF && at[1] == 0xFF)
        at++;
    if (b->end - at < 2 || at[0] != 0xFF || at[1] != RST0 + (number & 7))
        return damaged(w, at, "a restart marker is missing or out of order");
    *b = (struct bits){ .at = at + 2, .end = b->end };
    for (int i = 0; i < s->count; i++)
        s->component[i]->dc = 0;
    return NN_OK;
}

/* Decodes the entropy-coded data at w->at and moves behind them. */
static int scan_data(struct walk *w, const struct scan *s)
{
    struct bits b = { .at = w->data + w->at, .end = w->data + w->size };
    struct component *only = s->count == 1 ? s->component[0] : NULL;
    int64_t total = only ? only->across * only->down : w->mcu_across * w->mcu_down, left = w->interval,
            restarts = 0;
    int rc;

    w->eob_run = 0;
    for (int i = 0; i < s->count; i++)
        s->component[i]->dc = 0;
    for (int64_t m = 0; m < total; m++) {
        bool good = true;

        if (w->interval && left-- == 0) {
            if ((rc = restart(w, s, &b, restarts++)))
                return rc;
            left = w->interval - 1;
        }
        if (only) {
            good = block(w, s, only, &b, m);
        } else {
            for (int i = 0; i < s->count && good; i++) {
                struct component *c = s->component[i];

                for (int k = 0; k < c->h * c->v && good; k++)
                    good = block(w, s, c, &b, 0);
            }
        }
        if (starved(&b))
            return damaged(w, b.at, "the entropy-coded data end too early");
        if (!good)
            return damaged(w, b.at, "an impossible code or value in the entropy-coded data");
    }
    if ((rc = scan_end(w, &b)))
        return rc;
    w->at = (size_t)(b.at - w->data);
    return NN_OK;
}

/* --------------------------------------------------------------------------------------------- segments */

static int bad_segment(struct walk *w, size_t at, const char *what)
{
    return nni_fail(w->why, NN_EFORMAT, "JPEG: damaged: %s at byte %zu; get the file again", what, at);
}

static int truncated(struct walk *w)
{
    return nni_fail(w->why, NN_EFORMAT,
                    "JPEG: truncated: the file ends at byte %zu before its end marker; get it again",
                    w->size);
}

static void keep(struct walk *w, const void *bytes, size_t size)
{
    memcpy(w->clean->bytes + w->clean->size, bytes, size);
    w->clean->size += size;
}

/* Canonical Huffman codes (T.81 C.2) from the number of codes of each length. */
static bool build(struct huffman *h, const uint8_t *lengths, const uint8_t *symbols, int count)
{
    int32_t code = 0;
    int at = 0;

    memset(h, 0, sizeof *h);
    memcpy(h->symbol, symbols, (size_t)count);
    for (int n = 1; n <= 16; n++, code <<= 1) {
        if (code + lengths[n - 1] > 1 << n)
            return false;
        h->offset[n] = at - code;
        for (int i = 0; i < lengths[n - 1]; i++, code++, at++)
            for (int j = 0; n <= FAST && j < 1 << (FAST - n); j++)
                h->fast[(code << (FAST - n)) + j] = (uint16_t)(n << 8 | symbols[at]);
        h->last[n] = lengths[n - 1] ? code - 1 : -1;
    }
    h->defined = true;
    return true;
}

static int huffman_tables(struct walk *w, const uint8_t *p, size_t size, size_t at)
{
    while (size) {
        int total = 0, kind = p[0] >> 4, slot = p[0] & 15;

        if (size < 17)
            return bad_segment(w, at, "a Huffman table is cut off");
        for (int i = 0; i < 16; i++)
            total += p[1 + i];
        if (kind > 1 || slot > 3 || total > 256 || size - 17 < (size_t)total ||
            !build(kind ? &w->ac[slot] : &w->dc[slot], p + 1, p + 17, total))
            return bad_segment(w, at, "an impossible Huffman table");
        p += 17 + total;
        size -= 17 + (size_t)total;
    }
    return NN_OK;
}

static int quantisation_tables(struct walk *w, const uint8_t *p, size_t size, size_t at)
{
    while (size) {
        size_t wide = p[0] >> 4, slot = p[0] & 15, need = 1 + 64 * (wide + 1);

        if (wide > 1 || slot > 3 || size < need)
            return bad_segment(w, at, "an impossible quantisation table");
        for (int i = 0; i < 64; i++)
            w->quant[slot][i] = (uint16_t)(wide ? nni_be16(p + 1 + 2 * i) : p[1 + i]);
        w->quant_defined[slot] = true;
        p += need;
        size -= need;
    }
    return NN_OK;
}

static int unsupported(struct walk *w, int marker, int precision)
{
    const char *what = marker >= 0xC9 || marker == DAC ? "arithmetic coding"
                       : marker == 0xC3                ? "lossless coding"
                       : marker >= 0xC5                ? "hierarchical coding"
                                                       : NULL;

    if (what)
        return nni_fail(w->why, NN_EUNSUPPORTED,
                        "JPEG with %s is not supported; convert it to baseline JPEG or PNG", what);
    return nni_fail(w->why, NN_EUNSUPPORTED,
                    "JPEG with %d-bit samples is not supported; convert it to 8 bits or PNG", precision);
}

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

static int frame(struct walk *w, int marker, const uint8_t *p, size_t size, size_t at)
{
    nn_image_info *info = w->info;
    int h_max = 1, v_max = 1;

    if (w->count)
        return bad_segment(w, at, "a second frame header");
    if (size < 6 || size != 6 + 3 * (size_t)p[5])
        return bad_segment(w, at, "a frame header of the wrong length");
    if (marker > SOF2 || p[0] != 8)
        return unsupported(w, marker, p[0]);
    info->format = NN_IMAGE_JPEG;
    info->height = nni_be16(p + 1);
    info->width = nni_be16(p + 3);
    info->channels = w->count = p[5];
    info->bit_depth = 8;
    info->progressive = marker == SOF2;
    if (info->height == 0)
        return nni_fail(w->why, NN_EUNSUPPORTED,
                        "JPEG with its height behind the pixels (DNL) is not supported; "
                        "convert it");
    if (info->width == 0)
        return bad_segment(w, at, "a frame header with width 0");
    if (w->count != 1 && w->count != 3 && w->count != 4)
        return nni_fail(w->why, NN_EUNSUPPORTED,
                        "JPEG with %d components is not supported; convert it to RGB", w->count);
    for (int i = 0; i < w->count; i++) {
        struct component *c = &w->component[i];
        const uint8_t *q = p + 6 + 3 * i;

        *c = (struct component){ .id = q[0], .h = q[1] >> 4, .v = q[1] & 15, .quant = q[2] };
        memset(c->level, -1, sizeof c->level);
        if (c->h < 1 || c->h > 4 || c->v < 1 || c->v > 4 || c->quant > 3)
            return bad_segment(w, at, "impossible sampling factors");
        for (int k = 0; k < i; k++)
            if (w->component[k].id == c->id)
                return bad_segment(w, at, "two components of the same name");
        h_max = c->h > h_max ? c->h : h_max;
        v_max = c->v > v_max ? c->v : v_max;
    }
    for (int i = 0; i < w->count; i++) {
        struct component *c = &w->component[i];

        if (h_max % c->h || v_max % c->v)
            return nni_fail(w->why, NN_EUNSUPPORTED,
                            "JPEG with fractional chroma sampling is not supported; convert it");
        c->across = ceil_div(ceil_div(info->width * c->h, h_max), 8);
        c->down = ceil_div(ceil_div(info->height * c->v, v_max), 8);
    }
    w->mcu_across = ceil_div(info->width, 8 * h_max);
    w->mcu_down = ceil_div(info->height, 8 * v_max);
    return NN_OK;
}

/* Progressive scans must first announce every coefficient, then refine it bit by bit. This is also what
 * bounds the work a small file can ask for. */
static int script(struct walk *w, const struct scan *s, size_t at)
{
    for (int i = 0; i < s->count; i++) {
        struct component *c = s->component[i];

        if (s->first > 0 && c->level[0] < 0)
            return bad_segment(w, at, "a scan script that begins without the mean of the blocks");
        for (int k = s->first; k <= s->last; k++) {
            if (s->high ? c->level[k] != s->high || s->low != s->high - 1 : c->level[k] >= 0)
                return bad_segment(w, at, "a scan that repeats or skips bits of a coefficient");
            c->level[k] = (int8_t)s->low;
        }
    }
    return NN_OK;
}

static int scan_header(struct walk *w, struct scan *s, const uint8_t *p, size_t size, size_t at)
{
    bool progressive = w->info->progressive;
    const uint8_t *tail;
    int64_t blocks = 0;

    if (++w->scans > SCANS)
        return nni_fail(w->why, NN_EFORMAT, "JPEG: more than %d scans: made to waste time; refused", SCANS);
    if (size < 1 || p[0] < 1 || p[0] > w->count || size != 4 + 2 * (size_t)p[0])
        return bad_segment(w, at, "an impossible scan header");
    s->count = p[0];
    tail = p + 1 + 2 * s->count;
    s->first = tail[0];
    s->last = tail[1];
    s->high = tail[2] >> 4;
    s->low = tail[2] & 15;
    if (!progressive && (s->first != 0 || tail[2] != 0))
        return bad_segment(w, at, "an impossible scan header");
    if (!progressive)
        s->last = 63;
    if (s->last > 63 || s->first > s->last || s->high > 13 || s->low > 13 ||
        (progressive && ((s->first == 0) != (s->last == 0) || (s->first > 0 && s->count > 1))))
        return bad_segment(w, at, "an impossible scan header");
    for (int i = 0; i < s->count; i++) {
        int dc = p[2 + 2 * i] >> 4, ac = p[2 + 2 * i] & 15;
        struct component *c = NULL;

        for (int k = 0; k < w->count; k++)
            if (w->component[k].id == p[1 + 2 * i])
                c = &w->component[k];
        for (int k = 0; k < i; k++)
            if (s->component[k] == c)
                c = NULL;
        if (!c || dc > 3 || ac > 3)
            return bad_segment(w, at, "an impossible scan header");
        s->component[i] = c;
        c->dc_table = &w->dc[dc];
        c->ac_table = &w->ac[ac];
        blocks += c->h * c->v;
        if (!w->quant_defined[c->quant])
            return bad_segment(w, at, "a scan without its quantisation table");
        if ((s->first == 0 && s->high == 0 && !c->dc_table->defined) ||
            (s->last > 0 && !c->ac_table->defined))
            return bad_segment(w, at, "a scan without its Huffman table");
        if (s->first > 0 && !c->nonzero) {
            c->nonzero = nni_alloc_array((size_t)(c->across * c->down), sizeof *c->nonzero);
            if (!c->nonzero)
                return nni_fail(w->why, NN_ENOMEM, "JPEG: no memory to verify %lld x %lld pixels",
                                (long long)w->info->width, (long long)w->info->height);
        }
    }
    if (s->count > 1 && blocks > 10)
        return bad_segment(w, at, "a scan with more than ten blocks in a unit");
    return script(w, s, at);
}

/* stb_image takes four components without Adobe's marker for something else than CMYK. */
static void keep_adobe(struct walk *w)
{
    static const uint8_t marker[16] = { 0xFF, APP14, 0, 14, 'A', 'd', 'o', 'b', 'e', 0, 100, 0, 0, 0, 0, 0 };

    if (w->count == 4 && !w->adobe && !w->adobe_copied)
        keep(w, marker, sizeof marker);
    w->adobe_copied = true;
}

/* The marker at w->at; zero bytes before it are padding that some cameras write. */
static int next_marker(struct walk *w, int *marker)
{
    while (w->at < w->size && w->data[w->at] == 0)
        w->at++;
    if (w->at >= w->size)
        return truncated(w);
    if (w->data[w->at] != 0xFF)
        return bad_segment(w, w->at, "no marker where one must be");
    while (w->at < w->size && w->data[w->at] == 0xFF)
        w->at++;
    if (w->at >= w->size)
        return truncated(w);
    *marker = w->data[w->at++];
    return NN_OK;
}

static int segment(struct walk *w, int marker, const uint8_t *p, size_t size, size_t at)
{
    if (marker == DHT)
        return huffman_tables(w, p, size, at);
    if (marker == DQT)
        return quantisation_tables(w, p, size, at);
    if (marker == DAC)
        return unsupported(w, marker, 0);
    if (marker >= SOF0 && marker <= SOF15 && marker != JPG)
        return frame(w, marker, p, size, at);
    if (marker == DRI) {
        if (size != 2)
            return bad_segment(w, at, "an impossible restart interval");
        w->interval = nni_be16(p);
    } else if (marker == DNL) {
        if (size != 2 || nni_be16(p) != w->info->height)
            return bad_segment(w, at, "a second, different height");
    } else if (marker == APP1) {
        if (w->scans == 0 && w->info->orientation == 1 && size > 6 && !memcmp(p, "Exif\0", 6))
            w->info->orientation = nni_exif_orientation(p + 6, size - 6);
    } else if (marker == APP14) {
        if (size >= 12 && !memcmp(p, "Adobe", 5))
            w->adobe = true;
    } else if (!(marker >= APP0 && marker <= APP15) && marker != COM) {
        return nni_fail(w->why, NN_EFORMAT,
                        "JPEG: damaged: unexpected marker %02X at byte %zu; get the file again",
                        (unsigned)marker, at);
    }
    return NN_OK;
}

static bool needed(int marker)
{
    return marker == DHT || marker == DQT || marker == DRI || marker == APP0 || marker == APP14 ||
           (marker >= SOF0 && marker <= SOF2);
}

static int finished(struct walk *w)
{
    if (w->scans == 0)
        return bad_segment(w, w->at, "an end marker before any pixels");
    for (int i = 0; i < w->count; i++)
        if (w->component[i].level[0] < 0)
            return bad_segment(w, w->at, "an end marker before every component had its scan");
    return NN_OK;
}

static int walk(struct walk *w, const nn_decode_opts *limit)
{
    for (;;) {
        size_t at = w->at, size;
        struct scan s = { .count = 0 };
        const uint8_t *p;
        int marker = 0, rc = next_marker(w, &marker);

        if (rc)
            return rc;
        if (marker == EOI)
            return limit ? finished(w) : bad_segment(w, at, "an end marker before any pixels");
        if (marker >= RST0 && marker <= RST7 && w->scans)
            continue; /* some encoders end the last interval, too */
        if (w->size - w->at < 2)
            return truncated(w);
        size = nni_be16(w->data + w->at);
        if (size < 2)
            return bad_segment(w, at, "a segment of impossible length");
        if (size > w->size - w->at)
            return truncated(w);
        p = w->data + w->at + 2;
        if (limit && needed(marker)) {
            const uint8_t head[2] = { 0xFF, (uint8_t)marker };

            keep(w, head, 2);
            keep(w, w->data + w->at, size);
        }
        w->at += size;
        if (marker != SOS) {
            if ((rc = segment(w, marker, p, size - 2, at)))
                return rc;
            if (w->count && limit && marker <= SOF2 && (rc = nni_image_limits(w->info, limit, w->why)))
                return rc;
            continue;
        }
        if (!w->count)
            return bad_segment(w, at, "a scan before the frame header");
        if (!limit)
            return NN_OK;
        if ((rc = scan_header(w, &s, p, size - 2, at)))
            return rc;
        keep_adobe(w);
        keep(w, (const uint8_t[]){ 0xFF, SOS }, 2);
        at = w->at - size;
        if ((rc = scan_data(w, &s)))
            return rc;
        keep(w, w->data + at, w->at - at);
    }
}

int nni_jpeg_check(const uint8_t *data, size_t size, nn_image_info *info, const nn_decode_opts *limit,
                   struct nni_clean *clean, nn_message *why)
{
    struct walk *w = nni_alloc_zero(sizeof *w);
    int rc;

    if (!w)
        return nni_fail(why, NN_ENOMEM, "JPEG: no memory to verify it");
    *w = (struct walk){ .data = data, .size = size, .at = 2, .info = info, .why = why, .clean = clean };
    *info = (nn_image_info){ .format = NN_IMAGE_JPEG, .orientation = 1 };
    if (limit) {
        /* The copy drops segments and can gain Adobe's. */
        *clean = (struct nni_clean){ .bytes = nni_alloc(size + 64) };
        if (!clean->bytes) {
            nni_free(w);
            return nni_fail(why, NN_ENOMEM, "JPEG: no memory to verify %zu bytes", size);
        }
        keep(w, (const uint8_t[]){ 0xFF, SOI }, 2);
    }
    rc = walk(w, limit);
    if (limit && !rc)
        keep(w, (const uint8_t[]){ 0xFF, EOI }, 2);
    if (limit && rc) {
        nni_free(clean->bytes);
        *clean = (struct nni_clean){ .bytes = NULL };
    }
    for (int i = 0; i < COMPONENTS; i++)
        nni_free(w->component[i].nonzero);
    nni_free(w);
    return rc;
}
