#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares every transform with Albumentations 1.3.1, pixel by pixel and draw by draw.

usage: augment.py BUILD [--draws N] [--samples N] [--table] [ONLY...]
       augment.py --goldens      prints tests/golden/augment.h

Pixels: Albumentations draws parameters, both sides apply them to the same image (20 images: 1x1, 1xN, odd, flat,
noise, smooth, grey, up to 1024). Draws: Kolmogorov-Smirnov of 100,000 of ours against as many of theirs for each
parameter. Prints PASS or FAIL lines and exits 1 when there was a FAIL; --table prints the table of
docs/augmentation.md.

Needs albumentations==1.3.1, opencv-python-headless 4.9 and numpy 1.26, which is an environment of its own: where
they are missing the script says so and exits 77.
"""
import argparse
import ctypes as ct
import glob
import os
import random
import subprocess
import sys
import tempfile
import warnings

warnings.filterwarnings("ignore")
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
try:
    import albumentations as A
    import numpy as np
    from scipy import ndimage, stats
    if A.__version__ != "1.3.1":
        raise ImportError(A.__version__)
except ImportError as e:
    print(f"SKIPPED augment: albumentations 1.3.1 is not installed here ({e})")
    sys.exit(77)

DRAWN = 64


def load(build):
    objects = []
    for room in ("vision", "vision/simd", "base"):
        objects += glob.glob(os.path.join(build, "obj/libnn/src", room, "*.o"))
    if not objects:
        sys.exit(f"{build}: no objects below obj/libnn/src; run make first")
    folder = tempfile.TemporaryDirectory()
    path = os.path.join(folder.name, "augment.so")
    shim = os.path.join(os.path.dirname(os.path.abspath(__file__)), "augment_shim.c")
    subprocess.run([os.environ.get("CC", "cc"), "-std=c11", "-D_GNU_SOURCE", "-shared", "-fPIC", "-Ilibnn/include",
                    "-Ilibnn/src", shim, "-o", path, *objects, "-ljansson", "-lz", "-lm", "-pthread"], check=True)
    lib = ct.CDLL(path)
    lib.folder = folder
    return lib


def images():
    r = np.random.RandomState(7)

    def smooth(h, w):
        y, x = np.mgrid[0:h, 0:w].astype(np.float64)
        chans = [127 + 120 * np.sin(x / (5 + 3 * c) + c) * np.cos(y / (7 + 2 * c)) for c in range(3)]
        return np.clip(np.stack(chans, -1) + r.normal(0, 3, (h, w, 3)), 0, 255).astype(np.uint8)

    def noise(h, w):
        return r.randint(0, 256, (h, w, 3)).astype(np.uint8)

    def grey(h, w):
        return np.repeat(smooth(h, w)[..., :1], 3, -1)

    def blocks(h, w):
        return np.kron(r.randint(0, 256, (h // 8 + 1, w // 8 + 1, 3)), np.ones((8, 8, 1)))[:h, :w].astype(np.uint8)

    out = [noise(1, 1), noise(1, 17), noise(19, 1), noise(2, 2), noise(3, 5), smooth(7, 9), smooth(31, 33), blocks(57, 41),
           smooth(224, 224), noise(224, 224), blocks(224, 224), grey(224, 224), smooth(256, 256), blocks(256, 256),
           np.full((64, 64, 3), 255, np.uint8), np.zeros((64, 64, 3), np.uint8), smooth(200, 300), noise(101, 67),
           smooth(1024, 1024), grey(333, 250)]
    assert len(out) == 20
    return out


class Subject:
    """One transform: theirs, our text, how their parameters become ours, what of them is compared as a draw."""

    def __init__(self, name, text, theirs, convert, exact, draws=None, real=False):
        self.name, self.text, self.theirs, self.convert = name, text, theirs, convert
        self.exact, self.draws, self.real = exact, draws, real


def blur(p, img):
    k = p["kernel"]
    return [k.shape[0], *k.astype(np.float32).ravel()], None


def jitter(p, img):
    return [p["brightness"], p["contrast"], p["saturation"], p["hue"], *p["order"]], None


def gauss(p, img):
    return [0], np.ascontiguousarray(p["gauss"], np.float64)


def optical(p, img):
    return [p["k"], p["dx"], p["dy"]], None


def affine(p, img):
    # Their matrix alone arrives here; ours is made of these parameters, kept by the subclass below.
    return p["ours"], None


def elastic(p, img):
    state = np.random.RandomState(p["random_state"])
    h, w = img.shape[:2]
    points = state.uniform(-50, 50, size=(3, 2))
    noise = [state.rand(h, w) * 2 - 1, state.rand(h, w) * 2 - 1]
    return [*points.ravel()], np.ascontiguousarray(np.stack([ndimage.gaussian_filter(n, 50) for n in noise]))


class RememberingAffine(A.Affine):
    """Affine that also tells what it drew, by watching the calls to random.uniform."""

    def get_params_dependent_on_targets(self, params):
        drawn, uniform = [], random.uniform
        random.uniform = lambda a, b: drawn.append(uniform(a, b)) or drawn[-1]
        try:
            p = super().get_params_dependent_on_targets(params)
        finally:
            random.uniform = uniform
        h, w = params["image"].shape[:2]
        tx, ty, shx, shy, scx, scy, angle = drawn
        rad = np.pi / 180
        p["ours"] = [scx, scy, tx * w, ty * h, -angle * rad, -shx * rad, -shy * rad]
        return p


def subjects():
    return [
        Subject("advanced_blur", "advanced_blur p=1", A.AdvancedBlur(p=1), blur, False,
                draws=[("side", 0, lambda p: p["kernel"].shape[0]),
                       ("weight 0", 1, lambda p: p["kernel"].ravel()[0]),
                       ("weight 4", 5, lambda p: p["kernel"].ravel()[4])]),
        Subject("color_jitter", "color_jitter p=1", A.ColorJitter(p=1), jitter, False,
                draws=[(n, i, lambda p, n=n: p[n]) for i, n in enumerate(("brightness", "contrast", "saturation", "hue"))] +
                      [(f"order {i}", 4 + i, lambda p, i=i: p["order"][i]) for i in range(4)]),
        Subject("gauss_noise", "gauss_noise p=1", A.GaussNoise(p=1), gauss, True,
                draws=[("sigma", 0, None)]),
        Subject("optical_distortion", "optical_distortion distort=-0.3..0.3 shift=-0.5..0.5 p=1",
                A.OpticalDistortion(distort_limit=(-0.3, 0.3), shift_limit=0.5, p=1), optical, False,
                draws=[("k", 0, lambda p: p["k"]), ("dx", 1, lambda p: p["dx"]), ("dy", 2, lambda p: p["dy"])]),
        Subject("flip", "flip p=1", A.HorizontalFlip(p=1), lambda p, img: ([], None), True),
        Subject("affine", "affine scale=0.9..2 shift=-0.1..0.1 rotate=-10..10 shear=-20..20 p=1",
                RememberingAffine(scale=(0.9, 2), translate_percent=(-0.1, 0.1), rotate=(-10, 10), shear=(-20, 20), p=1),
                affine, False,
                draws=[(n, i, lambda p, i=i: p["ours"][i]) for i, n in
                       enumerate(("scale x", "scale y", "shift x", "shift y", "angle", "shear x", "shear y"))]),
        Subject("elastic", "elastic alpha=300 p=1", A.ElasticTransform(alpha=300, p=1), elastic, False,
                draws=[(f"point {i}", i, lambda p, i=i: np.random.RandomState(p["random_state"]).uniform(-50, 50, 6)[i])
                       for i in range(2)]),
    ]


def params_of(t, img):
    p = dict(t.get_params())
    if t.targets_as_params:
        p.update(t.get_params_dependent_on_targets({"image": img}))
    return p


def compare_pixels(lib, s, pictures, draws):
    random.seed(11)
    np.random.seed(11)
    total = off = beyond = far = largest = applied = 0
    for d in range(draws):
        img = pictures[d % len(pictures)]
        if img.size > 10 ** 6 and d >= 2 * len(pictures):
            img = pictures[8]  # the largest picture twice is enough
        p = params_of(s.theirs, img)
        try:
            want = s.theirs.apply(img.copy(), **p)
        except Exception as e:  # what they cannot do there is nothing to compare with
            if d < len(pictures):
                print(f"     {s.name}: {img.shape[1]}x{img.shape[0]}: Albumentations raises {type(e).__name__}")
            continue
        v, noise = s.convert(p, img)
        ours = np.ascontiguousarray(img.copy())
        vv = (ct.c_double * DRAWN)(*[float(x) for x in v])
        rc = lib.shim_apply(s.text.encode(), vv, noise.ctypes.data_as(ct.c_void_p) if noise is not None else None, 0,
                            ct.c_int64(img.shape[1]), ct.c_int64(img.shape[0]), ours.ctypes.data_as(ct.c_void_p))
        if rc:
            print(f"FAIL {s.name}: returned {rc}")
            return None
        diff = np.abs(ours.astype(int) - want.astype(int))
        total += diff.size
        off += int((diff > 0).sum())
        beyond += int((diff > 1).sum())
        largest = max(largest, int(diff.max()))
        far += int((diff > 3).sum())
        applied += 1
    return applied, total, off, beyond, far, largest


def compare_draws(lib, s, count, tests):
    img = np.zeros((224, 224, 3), np.uint8)
    ours = np.zeros((count, DRAWN))
    lib.shim_draw(s.text.encode(), ct.c_int64(224), ct.c_int64(224), ct.c_uint64(5), ct.c_int64(count),
                  ours.ctypes.data_as(ct.c_void_p))
    random.seed(5)
    np.random.seed(5)
    if s.name == "gauss_noise":
        theirs = {"sigma": np.array([random.uniform(10, 50) ** 0.5 for _ in range(count)])}
    elif s.name == "elastic":  # theirs has 10,001 fields in all, one for each seed that it can draw: each once
        rows = [{"random_state": i} for i in range(10001)]
        theirs = {n: np.array([f(p) for p in rows]) for n, _, f in s.draws}
    else:
        rows = [params_of(s.theirs, img) for _ in range(count)]
        theirs = {n: np.array([f(p) for p in rows]) for n, _, f in s.draws}
    out = []
    for n, column, _ in s.draws:
        a, b = ours[:, column], theirs[n]
        if len(np.unique(b[:1000])) <= 8:  # few values: a table of counts says more
            values = np.unique(np.concatenate([a, b]))
            if len(values) == 1:
                out.append((n, 1.0))
                continue
            counts = [[(x == v).sum() for v in values] for x in (a, b)]
            out.append((n, stats.chi2_contingency(counts)[1]))
        else:
            out.append((n, stats.ks_2samp(a, b)[1]))
    return out


GOLDEN = (11, 13)  # height, width


def goldens():
    """Albumentations' pixels of one small picture for each transform, with the parameters it drew."""
    h, w = GOLDEN
    y, x, c = np.mgrid[0:h, 0:w, 0:3]
    img = ((x * 37 + y * 59 + c * 83 + x * y * (5 + c)) % 256).astype(np.uint8)
    random.seed(3)
    np.random.seed(3)
    print("/* SPDX-License-Identifier: MIT\n *\n * What Albumentations 1.3.1 makes of a small picture. Written by tests/parity/"
          "augment.py --goldens.\n */")
    print(f"enum {{ GOLDEN_HEIGHT = {h}, GOLDEN_WIDTH = {w} }};\n\nstatic const struct {{\n    const char *text;\n    double v[64];\n"
          f"    double noise[{h * w * 3}];\n    int has_noise;\n    unsigned char rgb[{h * w * 3}];\n}} golden[] = {{")

    def rows(values, per):
        text = [str(v) for v in values]
        return ",\n        ".join(", ".join(text[i:i + per]) for i in range(0, len(text), per)) or "0"

    for s in subjects():
        p = params_of(s.theirs, img)
        want = s.theirs.apply(img.copy(), **p)
        v, noise = s.convert(p, img)
        print(f'    {{ "{s.text}",\n      {{ {rows([repr(float(a)) for a in v], 4)} }},')
        print(f"      {{ {rows([repr(float(a)) for a in noise.ravel()] if noise is not None else [], 4)} }},")
        print(f"      {int(noise is not None)},\n      {{ {rows(want.ravel(), 20)} }} }},")
    print("};")


def main():
    if sys.argv[1:] == ["--goldens"]:
        return goldens()
    args = argparse.ArgumentParser()
    args.add_argument("build")
    args.add_argument("--draws", type=int, default=500)
    args.add_argument("--samples", type=int, default=100000)
    args.add_argument("--table", action="store_true")
    args.add_argument("only", nargs="*")
    o = args.parse_args()
    lib = load(o.build)
    todo = [s for s in subjects() if not o.only or s.name in o.only]
    tests = sum(len(s.draws or []) for s in subjects())
    failed, rows = False, []
    for s in todo:
        got = compare_pixels(lib, s, images(), o.draws)
        if got is None:
            failed = True
            continue
        applied, total, off, beyond, far, largest = got
        # A place between pixels that falls on the other side of a 1/32 in the last bit of a float moves a value
        # across an edge; one in a million may.
        good = off == 0 if s.exact else far <= 1e-6 * total and beyond <= 0.001 * total
        failed |= not good
        rows.append((s.name, applied, 100 * (1 - off / total), 100 * (1 - beyond / total), largest))
        print(f"{'PASS' if good else 'FAIL'} {s.name}: {applied} draws, equal {100 * (1 - off / total):.5f} %, within 1 "
              f"{100 * (1 - beyond / total):.5f} %, more than 3 off: {far} of {total}, largest difference {largest}", flush=True)
        if s.draws and o.samples:
            for n, p in compare_draws(lib, s, o.samples, tests):
                ok = p * tests > 0.01
                failed |= not ok
                print(f"{'PASS' if ok else 'FAIL'} {s.name} draws {n}: p = {p:.3g} (with {tests} tests: {min(1, p * tests):.3g})",
                      flush=True)
    if o.table:
        print("\n| transform | draws | bytes equal | within one level | largest difference |\n| --- | --- | --- | --- | --- |")
        for r in rows:
            print(f"| {r[0]} | {r[1]} | {r[2]:.4f} % | {r[3]:.4f} % | {r[4]} |")
    sys.exit(failed)


main()
