/* SPDX-License-Identifier: MIT
 *
 * Scenes: a gradient under a fractal texture, dead leaves (shapes of all sizes that hide each other, with the
 * scale-free statistics of photographs: Lee, Mumford, Huang, "Occlusion Models for Natural Images", 2001), a
 * few large shapes, and lines of writing in an alphabet made up for the picture.
 */
#include "synth.h"

#include <math.h>

enum { COLOURS = 6, OCTAVES = 6 };

struct canvas {
    float *light;         /* [side,side,3] */
    const float *texture; /* [side,side], periodic, about -1 to 1 */
    int side;
    float palette[COLOURS][3];
};

/* ------------------------------------------------------------------------ texture */

/* Adds smoothly interpolated random values on a periodic lattice of `cells` x `cells`. */
static void add_octave(float *texture, int side, int cells, float amplitude, struct dice *d)
{
    float lattice[1 << OCTAVES << 1][1 << OCTAVES << 1];

    for (int y = 0; y < cells; y++)
        for (int x = 0; x < cells; x++)
            lattice[y][x] = dice_uniform(d, -amplitude, amplitude);
    for (int y = 0; y < side; y++) {
        float v = (float)(y * cells) / (float)side, fy = v - (float)(int)v;
        const float *above = lattice[(int)v], *below = lattice[((int)v + 1) % cells];

        fy = fy * fy * (3 - 2 * fy);
        for (int x = 0; x < side; x++) {
            float u = (float)(x * cells) / (float)side, fx = u - (float)(int)u, top, bottom;
            int left = (int)u, right = (left + 1) % cells;

            fx = fx * fx * (3 - 2 * fx);
            top = above[left] + (above[right] - above[left]) * fx;
            bottom = below[left] + (below[right] - below[left]) * fx;
            texture[y * side + x] += top + (bottom - top) * fy;
        }
    }
}

static void make_texture(float *texture, int side, struct dice *d)
{
    float roughness = dice_uniform(d, 0.45f, 0.8f), amplitude = 0.5f;

    for (int i = 0; i < side * side; i++)
        texture[i] = 0;
    for (int i = 1; i <= OCTAVES; i++, amplitude *= roughness)
        add_octave(texture, side, 2 << i, amplitude, d);
}

/* ------------------------------------------------------------------------- shapes */

/* A surface: its colour, how light falls off over it, and a piece of the texture on it. */
struct surface {
    const float *colour;
    float slope_x, slope_y, grain;
    int shift;
};

static struct surface some_surface(const struct canvas *k, struct dice *d)
{
    struct surface s = { .colour = k->palette[dice_below(d, COLOURS)] };

    dice_direction(d, &s.slope_x, &s.slope_y);
    s.slope_x *= 0.4f / (float)k->side;
    s.slope_y *= 0.4f / (float)k->side;
    s.grain = dice_uniform(d, 0, 0.5f);
    s.shift = dice_below(d, k->side * k->side);
    return s;
}

static void paint(const struct canvas *k, int y, int x, const struct surface *s)
{
    int at = y * k->side + x;
    float half = 0.5f * (float)k->side,
          shade = 1 + s->grain * k->texture[(at + s->shift) % (k->side * k->side)];

    shade += s->slope_x * ((float)x - half) + s->slope_y * ((float)y - half);
    for (int c = 0; c < 3; c++)
        k->light[3 * at + c] = shade > 0 ? s->colour[c] * shade : 0;
}

enum form { ELLIPSE, BOX, TRIANGLE, FORMS };

/* Whether (u,v) lies in the form of that name within the square from -1 to 1. */
static bool inside(enum form form, float u, float v)
{
    switch (form) {
    case ELLIPSE: return u * u + v * v < 1;
    case BOX: return u > -1 && u < 1 && v > -1 && v < 1;
    default: return v < 1 && v > 2 * (u < 0 ? -u : u) - 1;
    }
}

static void draw_form(const struct canvas *k, float radius, struct dice *d)
{
    enum form form = (enum form)dice_below(d, FORMS);
    struct surface s = some_surface(k, d);
    float cx = dice_uniform(d, 0, (float)k->side), cy = dice_uniform(d, 0, (float)k->side), dx, dy;
    float narrow = radius * dice_uniform(d, 0.3f, 1);
    int reach = (int)(radius * 1.5f) + 1;

    dice_direction(d, &dx, &dy);
    for (int y = (int)cy - reach; y <= (int)cy + reach; y++)
        for (int x = (int)cx - reach; x <= (int)cx + reach; x++) {
            float from_x = (float)x - cx, from_y = (float)y - cy;

            if (x >= 0 && y >= 0 && x < k->side && y < k->side &&
                inside(form, (dx * from_x + dy * from_y) / radius, (dx * from_y - dy * from_x) / narrow))
                paint(k, y, x, &s);
        }
}

/* Radii r with density r^-3 between the smallest and the largest: all scales are equally covered. */
static void draw_leaves(const struct canvas *k, struct dice *d)
{
    float low = 0.008f * (float)k->side, high = 0.25f * (float)k->side, ratio = low / high;
    int n = 20 + dice_below(d, 600);

    for (int i = 0; i < n; i++)
        draw_form(k, low / sqrtf(1 - dice_uniform(d, 0, 1) * (1 - ratio * ratio)), d);
}

/* A letter is a 4x6 raster of random dots, those beside each other in a stroke. */
static void draw_writing(const struct canvas *k, struct dice *d)
{
    enum { WIDE = 4, HIGH = 6, LETTERS = 12 };
    struct surface ink = some_surface(k, d);
    uint32_t letter[LETTERS];
    int dot = 2 + dice_below(d, 3), lines = 1 + dice_below(d, 4), length = 3 + dice_below(d, 14);
    int left = dice_below(d, k->side / 2), top = dice_below(d, k->side);

    for (int i = 0; i < LETTERS; i++) {
        int at = dice_below(d, WIDE * HIGH);

        letter[i] = 0;
        for (int stroke = 0; stroke < 14; stroke++) {
            static const int step[4] = { 1, -1, WIDE, -WIDE };
            int to = at + step[dice_below(d, 4)];

            letter[i] |= UINT32_C(1) << at;
            at = to >= 0 && to < WIDE * HIGH && (to / WIDE == at / WIDE || to % WIDE == at % WIDE) ? to : at;
        }
    }
    for (int i = 0; i < lines * length; i++) {
        uint32_t dots = letter[dice_below(d, LETTERS)];
        int x0 = left + i % length * (WIDE + 1) * dot, y0 = top + i / length * (HIGH + 2) * dot;

        for (int p = 0; p < WIDE * dot * HIGH * dot; p++) {
            int x = p % (WIDE * dot), y = p / (WIDE * dot);

            if (dots >> (y / dot * WIDE + x / dot) & 1 && x0 + x < k->side && y0 + y < k->side)
                paint(k, y0 + y, x0 + x, &ink);
        }
    }
}

void scene_draw(float *light, float *texture, int fine, struct dice *d)
{
    struct canvas k = { .light = light, .texture = texture, .side = fine };
    struct surface ground;

    make_texture(texture, fine, d);
    for (int i = 0; i < COLOURS; i++) {
        float bright = dice_uniform(d, 0.15f, 0.95f);

        for (int c = 0; c < 3; c++) {
            float part = bright * dice_uniform(d, 0.45f, 1);

            k.palette[i][c] = part * part;
        }
    }
    ground = some_surface(&k, d);
    ground.slope_x *= 3;
    ground.slope_y *= 3;
    for (int i = 0; i < fine * fine; i++)
        paint(&k, i / fine, i % fine, &ground);
    if (dice_below(d, 4))
        draw_leaves(&k, d);
    for (int n = dice_below(d, 5); n > 0; n--)
        draw_form(&k, dice_uniform(d, 0.05f, 0.35f) * (float)fine, d);
    if (dice_below(d, 2))
        draw_writing(&k, d);
}
