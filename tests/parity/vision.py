#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares the vision room with the libraries whose bytes it promises: Pillow and OpenCV.

usage: vision.py BUILD [--pairs N] [--faces DIR] [--seed N]
       vision.py --goldens resize|jpeg     prints the tables that tests/vision embeds

BUILD is the folder of a built variant (build, build/clang, ...): its position-independent objects are linked into a
temporary shared library and called through ctypes. Prints one PASS or FAIL line per subject and exits 1 when
there was a FAIL.
"""
import argparse
import ctypes as ct
import glob
import io
import os
import subprocess
import sys
import tempfile
import time
import zlib

import cv2
import numpy as np
from PIL import Image


class NnImage(ct.Structure):
    _fields_ = [("rgb", ct.POINTER(ct.c_uint8)), ("width", ct.c_int64), ("height", ct.c_int64), ("stride", ct.c_size_t)]


class Scratch(ct.Structure):
    _fields_ = [("memory", ct.c_void_p * 8), ("size", ct.c_size_t * 8)]


class Message(ct.Structure):
    _fields_ = [("text", ct.c_char * 512)]


def load(build):
    objects = []
    for room in ("vision", "vision/simd", "base"):
        objects += glob.glob(os.path.join(build, "obj/libnn/src", room, "*.o"))
    if not objects:
        sys.exit(f"{build}: no objects below obj/libnn/src; run make first")
    folder = tempfile.TemporaryDirectory()
    path = os.path.join(folder.name, "vision.so")
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-o", path, *objects, "-ljansson", "-lz", "-lm", "-pthread"],
                   check=True)
    lib = ct.CDLL(path)
    lib.folder = folder
    return lib


class Vision:
    def __init__(self, build):
        self.lib = load(build)
        self.scratch = Scratch()

    @staticmethod
    def view(a):
        return NnImage(a.ctypes.data_as(ct.POINTER(ct.c_uint8)), a.shape[1], a.shape[0], 0)

    def resize(self, a, width, height, kernel):
        out = np.empty((height, width, 3), np.uint8)
        to, why = self.view(out), Message()
        rc = self.lib.nn_image_resize(ct.byref(to), ct.byref(self.view(a)), kernel, ct.byref(self.scratch), ct.byref(why))
        if rc:
            raise RuntimeError(why.text.decode())
        return out

    def decode(self, data):
        image, why = NnImage(), Message()
        rc = self.lib.nn_image_decode(ct.byref(image), data, ct.c_size_t(len(data)), None, ct.byref(why))
        if rc:
            raise ValueError(why.text.decode())
        out = np.ctypeslib.as_array(image.rgb, (image.height, image.width, 3)).copy()
        self.lib.nn_image_free(ct.byref(image))
        return out


failures = 0
forced = 0  # resizes in which an older Pillow had to be told the order of the passes


def report(name, good, text):
    global failures
    failures += not good
    print(f"{'PASS' if good else 'FAIL'} {name}: {text}", flush=True)


SIZES = [(1, 1, 5, 7), (1, 9, 4, 3), (9, 1, 3, 4), (5, 7, 1, 1), (2, 2, 1, 1), (448, 448, 224, 224), (256, 256, 224, 224),
         (640, 512, 224, 224), (224, 224, 256, 256), (300, 200, 300, 100), (300, 200, 150, 200), (300, 200, 150, 100),
         (299, 201, 150, 100), (1000, 3, 7, 300), (64, 64, 224, 224), (1024, 1024, 224, 224), (225, 225, 224, 224),
         (600, 400, 336, 224), (178, 218, 224, 224), (512, 512, 128, 128), (128, 128, 384, 384), (97, 61, 194, 122)]


def picture(rng, width, height, kind):
    if kind == 0:
        return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if kind == 1:
        return (rng.integers(0, 2, (height, width, 3)) * 255).astype(np.uint8)
    y, x = np.mgrid[0:height, 0:width]
    waves = [127.5 + 127.5 * np.sin(x * rng.uniform(0.01, 0.4) + y * rng.uniform(0.01, 0.4) + c) for c in range(3)]
    return np.stack(waves, -1).astype(np.uint8)


def compare_resize(vision, name, kernel, reference, pairs, seed, share, most):
    rng = np.random.default_rng(seed)
    same = total = worst = identical = 0
    sizes = list(SIZES)
    while len(sizes) < pairs:
        sizes.append(tuple(int(v) for v in np.exp(rng.uniform(0, np.log(500), 4)).astype(int)))
    for i, (w, h, ow, oh) in enumerate(sizes):
        a = picture(rng, w, h, i % 3)
        got, want = vision.resize(a, ow, oh, kernel), reference(a, ow, oh)
        d = np.abs(got.astype(int) - want)
        same += int((d == 0).sum())
        total += d.size
        identical += not d.any()
        worst = max(worst, int(d.max()))
        if d.max() > most:
            print(f"     {w}x{h} -> {ow}x{oh}: {100 * (d > 0).mean():.3f} % differ, at most {d.max()}")
    report(name, same >= share * total and worst <= most,
           f"{identical} of {len(sizes)} images identical, {100 * same / total:.5f} % of bytes, largest difference {worst}")


def resize_pillow(a, width, height, mode):
    """Pillow 13 resizes vertically first when the height shrinks much more; older versions can be told to."""
    image = Image.fromarray(a)
    shrunk = image.height - height
    if int(Image.__version__.split(".")[0]) < 13 and shrunk > max(0, 2 * (image.width - width)):
        global forced
        forced += 1
        image = image.resize((image.width, height), mode)
    return np.asarray(image.resize((width, height), mode))


def compare_speed(vision):
    a = picture(np.random.default_rng(1), 256, 256, 0)
    p = Image.fromarray(a)
    cases = [(0, lambda: cv2.resize(a, (224, 224), interpolation=cv2.INTER_LINEAR)),
             (1, lambda: p.resize((224, 224), Image.BILINEAR)), (2, lambda: p.resize((224, 224), Image.BICUBIC))]
    out = np.empty((224, 224, 3), np.uint8)
    to, view = Vision.view(out), Vision.view(a)
    for kernel, theirs in cases:
        ours = lambda: vision.lib.nn_image_resize(ct.byref(to), ct.byref(view), kernel, ct.byref(vision.scratch), None)
        times = []
        for f in (ours, theirs):
            best = 1e9
            for _ in range(200):
                t = time.perf_counter()
                f()
                best = min(best, time.perf_counter() - t)
            times.append(best * 1e6)
        print(f"     256x256 -> 224x224, kernel {kernel}: {times[0]:.0f} us, reference {times[1]:.0f} us")


def read_opencv(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]


def compare_png(vision, rng):
    """Modes and orientations that Pillow can write; all must be byte-equal to OpenCV."""
    bad = []
    count = 0
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        for orientation in range(0, 9):
            a = rng.integers(0, 256, (23, 37, 4), dtype=np.uint8)
            if mode == "I;16":
                image = Image.fromarray(rng.integers(0, 65536, (23, 37)).astype(np.uint16))
            else:
                image = Image.fromarray(a).convert("RGB" if mode == "P" else mode)
                image = image.quantize(200) if mode == "P" else image
            exif = Image.Exif()
            if orientation:
                exif[0x0112] = orientation
            f = io.BytesIO()
            image.save(f, "PNG", **({"exif": exif} if orientation else {}))
            count += 1
            got, want = vision.decode(f.getvalue()), read_opencv(f.getvalue())
            if got.shape != want.shape or (got != want).any():
                bad.append(f"{mode}/{orientation}")
    report("png", not bad, f"{count} files" + (f", different: {' '.join(bad)}" if bad else " identical to OpenCV"))


def compare_jpeg(vision, rng):
    """Against OpenCV's libjpeg-turbo. stb_image's inverse DCT and chroma interpolation round differently, and its 4:2:2
    interpolation is off in the last two columns; libjpeg does not interpolate chroma narrower than 3."""
    for name, options, mode, columns, most in (
            ("4:4:4", {"subsampling": 0}, "RGB", 0, 3), ("4:2:2", {"subsampling": 1}, "RGB", 2, 4),
            ("4:2:0", {"subsampling": 2}, "RGB", 0, 3), ("grey", {}, "L", 0, 1),
            ("progressive", {"subsampling": 2, "progressive": True}, "RGB", 0, 3),
            ("restart", {"subsampling": 2, "restart_marker_blocks": 3}, "RGB", 0, 3), ("cmyk", {}, "CMYK", 0, 4)):
        worst, wrong, count, edge = 0, 0, 0, 0
        for quality in (30, 75, 92, 100):
            for orientation in range(0, 9):
                w, h = int(rng.integers(6, 150)), int(rng.integers(6, 150))
                a = picture(rng, w, h, 2)
                exif = Image.Exif()
                exif[0x0112] = 1 if columns else max(orientation, 1)
                f = io.BytesIO()
                Image.fromarray(a).convert(mode).save(f, "JPEG", quality=quality, exif=exif, **options)
                got, want = vision.decode(f.getvalue()), read_opencv(f.getvalue())
                count += 1
                if got.shape != want.shape:
                    wrong += 1
                    continue
                d = np.abs(got.astype(int) - want)
                edge = max(edge, int(d.max()))
                worst = max(worst, int(d[:, :w - columns].max() if columns else d.max()))
        report(f"jpeg {name}", worst <= most and not wrong,
               f"{count} files, largest difference {worst} (allowed {most}), wrong shape {wrong}"
               + (f"; last {columns} columns: {edge}" if columns else ""))


def compare_faces(vision, folder, most):
    worst = files = 0
    refused = []
    sums = 0.0
    for path in sorted(glob.glob(os.path.join(folder, "**", "*.jp*g"), recursive=True)):
        data = open(path, "rb").read()
        want = read_opencv(data)
        files += 1
        try:
            got = vision.decode(data)
        except ValueError as error:
            refused.append(f"{path}: {error}")
            continue
        d = np.abs(got.astype(int) - want)
        sums += d.mean()
        worst = max(worst, int(d.max()))
    for text in refused[:10]:
        print("    ", text)
    report("faces", files > 0 and worst <= most and not refused,
           f"{files} files, largest difference {worst} (allowed {most}), mean {sums / max(files, 1):.4f}, refused {len(refused)}")


def noise(width, height):
    """The picture of noise() in tests/vision/test_resize.c: splitmix64 of the byte's index."""
    i = np.arange(1, width * height * 3 + 1, dtype=np.uint64)
    z = i * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) & np.uint64(255)).astype(np.uint8).reshape(height, width, 3)


def print_resize_goldens():
    for w, h, ow, oh in SIZES:
        a = noise(w, h)
        sums = [cv2.resize(a, (ow, oh), interpolation=cv2.INTER_LINEAR), resize_pillow(a, ow, oh, Image.BILINEAR),
                resize_pillow(a, ow, oh, Image.BICUBIC)]
        print(f"    {{ {w}, {h}, {ow}, {oh}, {{ " + ", ".join(f"0x{zlib.crc32(x.tobytes()):08x}" for x in sums) + " } },")


def print_array(name, data):
    print(f"static const uint8_t {name}[] = {{")
    for i in range(0, len(data), 20):
        print("    " + " ".join(f"{b}," for b in data[i:i + 20]))
    print("};\n")


def print_jpeg_goldens():
    """A soft gradient of 21x13, as files, and as Pillow decodes them."""
    y, x = np.mgrid[0:13, 0:21]
    a = np.stack([x * 12, y * 19, 255 - x * 6 - y * 9], -1).astype(np.uint8)
    a[4:8, 5:9] = (250, 20, 30)
    exif = Image.Exif()
    exif[0x0112] = 1
    for name, mode, options in (("baseline_444", "RGB", {"subsampling": 0, "exif": exif}), ("baseline_420", "RGB", {"subsampling": 2}),
                                ("progressive", "RGB", {"subsampling": 2, "progressive": True}), ("grey", "L", {}),
                                ("cmyk", "CMYK", {}), ("restart", "RGB", {"subsampling": 0, "restart_marker_blocks": 1})):
        f = io.BytesIO()
        Image.fromarray(a).convert(mode).save(f, "JPEG", quality=85, **options)
        print_array(name, f.getvalue())
        print_array(name + "_rgb", Image.open(f).convert("RGB").tobytes())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", nargs="?")
    parser.add_argument("--pairs", type=int, default=500)
    parser.add_argument("--faces")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--goldens", choices=("resize", "jpeg"))
    args = parser.parse_args()
    if args.goldens:
        return print_resize_goldens() if args.goldens == "resize" else print_jpeg_goldens()
    if not args.build:
        parser.error("which build?")
    vision = Vision(args.build)
    rng = np.random.default_rng(args.seed)
    print(f"Pillow {Image.__version__}, OpenCV {cv2.__version__}")
    compare_resize(vision, "cv2-linear", 0,
                   lambda a, w, h: cv2.resize(a, (w, h), interpolation=cv2.INTER_LINEAR), args.pairs, args.seed, 0.999, 1)
    for name, kernel, mode in (("pil-bilinear", 1, Image.BILINEAR), ("pil-bicubic", 2, Image.BICUBIC)):
        compare_resize(vision, name, kernel, lambda a, w, h: resize_pillow(a, w, h, mode), args.pairs, args.seed, 1.0, 0)
    if forced:
        print(f"     in {forced} of these this older Pillow was told to resize vertically first, as version 13 does")
    compare_png(vision, rng)
    compare_jpeg(vision, rng)
    if args.faces:
        compare_faces(vision, args.faces, 3)
    compare_speed(vision)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
