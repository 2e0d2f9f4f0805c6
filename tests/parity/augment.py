#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares every transform with Albumentations 1.3.1, pixel by pixel and draw by draw.

usage: augment.py BUILD [ONLY...] [--draws N] [--samples N] [--table] [--speed]
       augment.py --goldens      prints tests/golden/augment.h

Pixels: Albumentations draws parameters, both sides apply them to the same image (20 images: 1x1, 1xN, odd, flat,
noise, smooth, grey, up to 1024). Draws: Kolmogorov-Smirnov of 100,000 of ours against as many of theirs for each
parameter. Prints PASS or FAIL lines and exits 1 when there was a FAIL; --table prints the tables of differences in
docs/augmentation.md, --speed the one of times there and nothing else.

Needs albumentations==1.3.1, opencv-python-headless 4.9 and numpy 1.26, which is an environment of its own: where
they are missing the script says so and exits 77.
"""
import argparse
import ctypes as ct
import functools
import os
import random
import statistics
import sys
import time
import warnings

warnings.filterwarnings("ignore")
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
try:
    import albumentations as A
    import cv2
    import numpy as np
    from scipy import ndimage, stats
    if A.__version__ != "1.3.1":
        raise ImportError(A.__version__)
except ImportError as e:
    print(f"SKIPPED augment: albumentations 1.3.1 is not installed here ({e})")
    sys.exit(77)

from augment_lib import DRAWN, draws_of, load

SIZE = 8  # the network's input, for what depends on it
SIDE, INPUT = 256, 224  # of the picture and of the network's input where time is measured
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


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

    def __init__(self, name, text, theirs, convert, exact, draws=None, real=False, drawn_by=None):
        self.name, self.text, self.theirs, self.convert = name, text, theirs, convert
        self.exact, self.draws, self.real = exact, draws, real
        # Where theirs cannot be given our parameters, but draws them alike: text and transform.
        self.drawn_by = drawn_by or (text, theirs)
        self.label = name + (" (floats)" if real else "")


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


def crop(p, img):
    return [p["w_start"], p["h_start"]], None


def holes(p, img):
    return [v for x1, y1, _, _ in p["holes"] for v in (x1, y1)], None


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


class Other:
    """What Albumentations has not, or not so: `draw` gives parameters, `apply` what OpenCV or torchvision makes of them."""

    targets_as_params = []

    def __init__(self, draw, apply):
        self.get_params, self.apply = draw, apply


def saved_and_read(img, quality, halved):
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420 if halved else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    ok, file = cv2.imencode(".jpg", img[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling])
    assert ok
    return np.ascontiguousarray(cv2.imdecode(file, cv2.IMREAD_COLOR)[..., ::-1])


def rescaled(img, scale, there, back):
    """The kernels are those of nn_resize_kernel; Pillow's, of which there is none here, are left to vision.py."""
    assert there == back == 0
    h, w = img.shape[:2]
    small = cv2.resize(img, (max(1, round(w * scale)), max(1, round(h * scale))), interpolation=cv2.INTER_LINEAR)
    return cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR)


def torch_window(h, w, area, ratio, fits):
    """The ten attempts of torchvision, with random.random for torch's generator: height, width, top, left or None."""
    for _ in range(10):
        target = h * w * random.uniform(*area)
        aspect = np.exp(random.uniform(*np.log(ratio)))
        ww, hh = int(round((target * aspect) ** 0.5)), int(round((target / aspect) ** 0.5))
        if fits(hh, ww):
            return random.randint(0, w - ww), random.randint(0, h - hh), ww, hh
    return None


class Window(Other):
    """With parameters that depend on the picture's size."""

    targets_as_params = ["image"]

    def __init__(self, area, ratio, strict, apply):
        super().__init__(dict, apply)
        self.area, self.ratio, self.strict = area, ratio, strict

    def get_params_dependent_on_targets(self, params):
        h, w = params["image"].shape[:2]
        fits = (lambda a, b: 0 < a < h and 0 < b < w) if self.strict else (lambda a, b: 0 < a <= h and 0 < b <= w)
        box = torch_window(h, w, self.area, self.ratio, fits)
        if box is None and self.strict:
            return {"box": (0, 0, 0, 0)}
        if box is None:  # RandomResizedCrop's way out
            low, high = self.ratio
            ww, hh = (w, int(round(w / low))) if w / h < low else (int(round(h * high)), h) if w / h > high else (w, h)
            ww, hh = max(ww, 1), max(hh, 1)
            box = (w - ww) // 2, (h - hh) // 2, ww, hh
        return {"box": box}


def cut_and_resized(size, img, box):
    x, y, w, h = box
    return cv2.resize(img[y:y + h, x:x + w], (size, size), interpolation=cv2.INTER_LINEAR)


def erased(img, box):
    x, y, w, h = box
    img[y:y + h, x:x + w] = 0
    return img


def subjects(size=SIZE):
    box_draws = [(n, i, lambda p, i=i: p["box"][i]) for i, n in enumerate(("left", "top", "width", "height"))]
    jitter_draws = [(n, i, lambda p, n=n: p[n]) for i, n in enumerate(("brightness", "contrast", "saturation", "hue"))] + \
                   [(f"order {i}", 4 + i, lambda p, i=i: p["order"][i]) for i in range(4)]
    return [
        Subject("advanced_blur", "advanced_blur p=1", A.AdvancedBlur(p=1), blur, False,
                draws=[("side", 0, lambda p: p["kernel"].shape[0]),
                       ("weight 0", 1, lambda p: p["kernel"].ravel()[0]),
                       ("weight 4", 5, lambda p: p["kernel"].ravel()[4])]),
        Subject("color_jitter", "color_jitter p=1", A.ColorJitter(p=1), jitter, False,
                draws=jitter_draws),
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
        Subject("rotate", "rotate angle=-45..45 p=1", A.Rotate(limit=45, p=1), lambda p, img: ([p["angle"]], None), True,
                draws=[("angle", 0, lambda p: p["angle"])]),
        Subject("brightness_contrast", "brightness_contrast p=1", A.RandomBrightnessContrast(p=1),
                lambda p, img: ([p["beta"], p["alpha"]], None), True,
                draws=[("brightness", 0, lambda p: p["beta"]), ("contrast", 1, lambda p: p["alpha"])]),
        Subject("cutout", "cutout holes=3 p=1", A.Cutout(num_holes=3, p=1), holes, True,
                draws=[(n, i, lambda p, i=i: p["holes"][i // 2][i % 2]) for i, n in enumerate(("left", "top", "left 2", "top 2"))]),
        Subject("random_crop", "random_crop", A.RandomCrop(size, size, p=1), crop, True,
                draws=[("x", 0, lambda p: p["w_start"]), ("y", 1, lambda p: p["h_start"])]),
        Subject("resize", "resize", A.Resize(size, size), lambda p, img: ([], None), True),
        Subject("jpeg", "jpeg quality=1..100 subsample=0.5 p=1",
                Other(lambda: {"quality": random.randint(1, 100), "halved": random.random() < 0.5}, saved_and_read),
                lambda p, img: ([p["quality"], p["halved"]], None), True, draws=[("quality", 0, lambda p: p["quality"])],
                drawn_by=("jpeg quality=1..100 p=1", A.ImageCompression(quality_lower=1, quality_upper=100, p=1))),
        Subject("gaussian_blur", "gaussian_blur sigma=0.05..6 p=1",
                Other(lambda: {"sigma": random.uniform(0.05, 6)}, lambda img, sigma: cv2.GaussianBlur(img, (0, 0), sigma)),
                lambda p, img: ([p["sigma"]], None), True, draws=[("sigma", 0, lambda p: p["sigma"])],
                drawn_by=("gaussian_blur sigma=0.05..6 p=1", A.GaussianBlur(blur_limit=(3, 7), sigma_limit=(0.05, 6), p=1))),
        Subject("rescale", "rescale p=1", Other(lambda: {"scale": random.uniform(0.5, 1.5), "there": 0, "back": 0}, rescaled),
                lambda p, img: ([p["scale"]], None), True, draws=[("scale", 0, lambda p: p["scale"])],
                drawn_by=("rescale scale=0.5..0.99 p=1", A.Downscale(scale_min=0.5, scale_max=0.99, interpolation=1, p=1))),
        Subject("random_resized_crop", "random_resized_crop", Window((0.08, 1), (3 / 4, 4 / 3), False, functools.partial(cut_and_resized, size)),
                lambda p, img: (p["box"], None), True,
                draws=[("left", 0, lambda p: round(p["w_start"] * (SIDE - p["crop_width"] + 1e-10))),
                       ("top", 1, lambda p: round(p["h_start"] * (SIDE - p["crop_height"] + 1e-10))),
                       ("width", 2, lambda p: p["crop_width"]), ("height", 3, lambda p: p["crop_height"])],
                drawn_by=("random_resized_crop", A.RandomResizedCrop(size, size, p=1))),
        Subject("erasing", "erasing p=1", Window((0.02, 0.33), (0.3, 3.3), True, erased), lambda p, img: (p["box"], None), True,
                draws=box_draws),
        # As the notebook has them: on pictures that are normalised already.
        Subject("normalize", "normalize maximum=225", A.Normalize(MEAN, STD, max_pixel_value=225), lambda p, img: ([], None), True),
        Subject("rotate", "rotate angle=-45..45 p=1", A.Rotate(limit=45, p=1), lambda p, img: ([p["angle"]], None), True, real=True),
        Subject("flip", "flip p=1", A.HorizontalFlip(p=1), lambda p, img: ([], None), True, real=True),
        Subject("brightness_contrast", "brightness_contrast contrast=0 p=1", A.RandomBrightness(limit=0.2, p=1),
                lambda p, img: ([p["beta"], p["alpha"]], None), True, real=True,
                draws=[("brightness", 0, lambda p: p["beta"]), ("contrast", 1, lambda p: p["alpha"])]),
        Subject("color_jitter", "color_jitter p=1", A.ColorJitter(p=1), jitter, False, real=True, draws=jitter_draws),
        Subject("cutout", "cutout holes=3 p=1", A.Cutout(num_holes=3, p=1), holes, True, real=True),
        Subject("random_crop", "random_crop", A.RandomCrop(size, size, p=1), crop, True, real=True),
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
        if s.real:
            img = A.Normalize(MEAN, STD, max_pixel_value=225)(image=img)["image"]
        p = params_of(s.theirs, img)
        try:
            want = s.theirs.apply(img.copy(), **p)
        except Exception as e:  # what they cannot do there is nothing to compare with
            if d < len(pictures):
                print(f"     {s.label}: {img.shape[1]}x{img.shape[0]}: Albumentations raises {type(e).__name__}")
            continue
        v, noise = s.convert(p, img)
        size = ct.c_int64(img.shape[1]), ct.c_int64(img.shape[0])
        vv = (ct.c_double * DRAWN)(*[float(x) for x in v])
        ours = np.empty_like(want)
        rc = lib.shim_apply(s.text.encode(), vv, noise.ctypes.data_as(ct.c_void_p) if noise is not None else None, int(s.real),
                            *size, img.ctypes.data_as(ct.c_void_p), ours.ctypes.data_as(ct.c_void_p), ct.c_size_t(ours.nbytes))
        if rc:
            print(f"FAIL {s.label}: returned {rc}")
            return None
        # Floats, in steps of 1e-5: where a normalised picture is near 0 its saturation magnifies what is rounded.
        unit = 1e-5 if want.dtype == np.float32 else 1
        diff = np.abs(ours.astype(float) - want.astype(float)) / unit
        total += diff.size
        off += int((diff > 0).sum())
        beyond += int((diff > 1).sum())
        largest = max(largest, float(diff.max()) * unit)
        far += int((diff > 3).sum())
        applied += 1
    return applied, total, off, beyond, far, largest


def compare_draws(lib, s, count, tests):
    img = np.zeros((SIDE, SIDE, 3), np.uint8)
    text, theirs_draws = s.drawn_by
    ours = draws_of(lib, text, SIDE, SIDE, count)
    random.seed(5)
    np.random.seed(5)
    if s.name == "gauss_noise":
        theirs = {"sigma": np.array([random.uniform(10, 50) ** 0.5 for _ in range(count)])}
    elif s.name == "elastic":  # theirs has 10,001 fields in all, one for each seed that it can draw: each once
        rows = [{"random_state": i} for i in range(10001)]
        theirs = {n: np.array([f(p) for p in rows]) for n, _, f in s.draws}
    else:
        rows = [params_of(theirs_draws, img) for _ in range(count)]
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
    img = bytes_ = ((x * 37 + y * 59 + c * 83 + x * y * (5 + c)) % 256).astype(np.uint8)
    random.seed(3)
    np.random.seed(3)
    print("/* SPDX-License-Identifier: MIT\n *\n * What Albumentations 1.3.1 makes of a small picture, as bytes or normalised. Written by tests/parity/"
          "augment.py --goldens.\n */")
    print(f"enum {{ GOLDEN_HEIGHT = {h}, GOLDEN_WIDTH = {w} }};\n\nstatic const struct {{\n    const char *text;\n    double v[64];\n"
          f"    double noise[{h * w * 3}];\n    int has_noise, real; /* floats go in */\n"
          f"    unsigned char rgb[{h * w * 3}];\n    float value[{h * w * 3}]; /* or these */\n}} golden[] = {{")

    def rows(values, per):
        text = [str(v) for v in values]
        return ",\n        ".join(", ".join(text[i:i + per]) for i in range(0, len(text), per)) or "0"

    for s in subjects():
        if s.real:
            img = A.Normalize(MEAN, STD, max_pixel_value=225)(image=bytes_)["image"]
        p = params_of(s.theirs, img)
        want = s.theirs.apply(img.copy(), **p)
        v, noise = s.convert(p, img)
        print(f'    {{ "{s.text}",\n      {{ {rows([repr(float(a)) for a in v], 4)} }},')
        print(f"      {{ {rows([repr(float(a)) for a in noise.ravel()] if noise is not None else [], 4)} }},")
        print(f"      {int(noise is not None)}, {int(s.real)},")
        if want.dtype == np.uint8:
            print(f"      {{ {rows(want.ravel(), 20)} }}, {{ 0 }} }},")
        else:
            print(f"      {{ 0 }}, {{ {rows([f'{a:.9g}f' if a % 1 else f'{a:.1f}f' for a in want.ravel()], 8)} }} }},")
    print("};")


def table_of(rows, what, near):
    print(f"\n| transform | draws | {what} equal | {near} | more than three times that off | largest difference |\n"
          "| --- | --- | --- | --- | --- | --- |")
    for s, applied, equal, within, far, largest in rows:
        shares = " | ".join("100 %" if share == 100 else f"{share:.5f} %" for share in (equal, within))
        print(f"| {s.name} | {applied} | {shares} | {far} | {largest:.2g} |")


def seconds_of(run, least=0.15):
    """Seconds for one call of run(n), which does the work n times and returns how long it took."""
    n = 1
    while (t := run(n)) < least:
        n = max(n + 1, int(n * min(10, 1.2 * least / max(t, 1e-6))))
    return t / n


def compare_speed(lib, only, rounds=5):
    """One transform at a time on one picture, drawing included; ours less what copies the picture in and out."""
    lib.shim_seconds.restype = ct.c_double
    cv2.setNumThreads(1)
    picture = {side: np.ascontiguousarray(cv2.resize(images()[8], (side, side))) for side in (SIDE, INPUT)}

    def ours(text, side):
        img = picture[side]
        return seconds_of(lambda n: lib.shim_seconds(text.encode(), ct.c_int64(side), ct.c_int64(INPUT),
                                                     img.ctypes.data_as(ct.c_void_p), ct.c_int64(n)))

    def theirs(t, img):
        def run(n):
            start = time.perf_counter()
            for _ in range(n):
                t(image=img) if isinstance(t, A.BasicTransform) else t.apply(img.copy(), **params_of(t, img))
            return time.perf_counter() - start
        return seconds_of(run)

    print(f"| transform at {INPUT} px | libnn, us | Albumentations, us | ratio |\n| --- | --: | --: | --: |")
    for s in subjects(INPUT):
        if only and s.name not in only:
            continue
        cuts = s.name in ("resize", "random_crop", "random_resized_crop")
        side = SIDE if cuts and not s.real else INPUT
        img = picture[side]
        before = "resize\nnormalize maximum=225\n" if s.real else "" if cuts else "resize\n"
        if s.real:
            img = A.Normalize(MEAN, STD, max_pixel_value=225)(image=img)["image"]
        a, b = [], []
        for _ in range(rounds):
            a.append(ours(before + s.text, side) - (ours(before, side) if before else 0))
            b.append(theirs(s.theirs, img))
        a, b = max(statistics.median(a), 1e-6), statistics.median(b)  # a difference of times can be nothing
        print(f"| {s.label} | {a * 1e6:.0f} | {b * 1e6:.0f} | {b / a:.1f} |", flush=True)


def main():
    if sys.argv[1:] == ["--goldens"]:
        return goldens()
    args = argparse.ArgumentParser()
    args.add_argument("build")
    args.add_argument("--draws", type=int, default=500)
    args.add_argument("--samples", type=int, default=100000)
    args.add_argument("--table", action="store_true")
    args.add_argument("--speed", action="store_true")
    args.add_argument("only", nargs="*")
    o = args.parse_args()
    lib = load(o.build)
    if o.speed:
        return compare_speed(lib, o.only)
    wanted = [s for s in subjects() if not o.only or s.name in o.only]
    tests = sum(len(s.draws or []) for s in subjects())
    failed, rows = False, []
    for s in wanted:
        got = compare_pixels(lib, s, images(), o.draws)
        if got is None:
            failed = True
            continue
        applied, total, off, beyond, far, largest = got
        # A place between pixels that falls on the other side of a 1/32 in the last bit of a float moves a value
        # across an edge; one in a million may.
        good = off == 0 if s.exact else far <= 1e-6 * total and beyond <= 0.001 * total
        failed |= not good
        rows.append((s, applied, 100 * (1 - off / total), 100 * (1 - beyond / total), far, largest))
        print(f"{'PASS' if good else 'FAIL'} {s.label}: {applied} draws, equal {100 * (1 - off / total):.5f} %, within 1 "
              f"{100 * (1 - beyond / total):.5f} %, more than 3 off: {far} of {total}, largest difference {largest:g}", flush=True)
        if s.draws and o.samples:
            for n, p in compare_draws(lib, s, o.samples, tests):
                ok = p * tests > 0.01
                failed |= not ok
                print(f"{'PASS' if ok else 'FAIL'} {s.label} draws {n}: p = {p:.3g} (with {tests} tests: {min(1, p * tests):.3g})",
                      flush=True)
    if o.table:
        table_of([r for r in rows if not r[0].real], "bytes", "within one level")
        table_of([r for r in rows if r[0].real], "floats", "within 1e-5")
    sys.exit(failed)


main()
