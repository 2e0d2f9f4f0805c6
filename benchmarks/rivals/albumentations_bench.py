#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Images a second from files to augmented floats of 224 px with Albumentations 1.3.1 and OpenCV on one thread.

usage: albumentations_bench.py DIR [--augment none|flip|entry|notebook] [--runs N] [--image-size N]
       albumentations_bench.py DIR --to-png FOLDER

Prints one JSON object with the fields of `nn_bench data --json`. Decodes with cv2.imread to RGB, as the notebook did;
every pipeline ends in normalised floats. --to-png writes the pictures of DIR as PNG files instead.
"""
import argparse
import glob
import json
import os
import statistics
import time
import warnings

warnings.filterwarnings("ignore")
os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
import albumentations as A
import cv2

cv2.setNumThreads(1)
p = argparse.ArgumentParser()
p.add_argument("folder")
p.add_argument("--augment", default="entry", choices=["none", "flip", "entry", "notebook"])
p.add_argument("--runs", type=int, default=3)
p.add_argument("--image-size", type=int, default=224)
p.add_argument("--to-png")
o = p.parse_args()
files = sorted(f for f in glob.glob(os.path.join(o.folder, "**"), recursive=True) if f.lower().endswith((".jpg", ".jpeg", ".png")))


def pipeline():
    steps = {
        "none": [],
        "flip": [A.HorizontalFlip()],
        "entry": [A.AdvancedBlur(), A.ColorJitter(), A.GaussNoise(),
                  A.OpticalDistortion(distort_limit=(-0.3, 0.3), shift_limit=0.5, p=0.5), A.HorizontalFlip(),
                  A.Affine(scale=(0.9, 2), translate_percent=(-0.1, 0.1), rotate=(-10, 10), shear=(-20, 20)),
                  A.ElasticTransform(alpha=300)],
        "notebook": [A.Rotate(limit=45, p=0.3), A.HorizontalFlip(p=0.2), A.RandomBrightness(limit=0.2), A.ColorJitter(),
                     A.Cutout(num_holes=3, p=0.3), A.RandomCrop(o.image_size, o.image_size)],
    }[o.augment]
    first = A.Resize(o.image_size, o.image_size)
    if o.augment == "notebook":  # as it was published, floats from the beginning
        return A.Compose([first, A.Normalize(max_pixel_value=225), *steps])
    return A.Compose([first, *steps, A.Normalize()])


def epoch(transform):
    start = time.perf_counter()
    for f in files:
        transform(image=cv2.cvtColor(cv2.imread(f, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))
    return time.perf_counter() - start


def to_png():
    for i, f in enumerate(files):
        cv2.imwrite(os.path.join(o.to_png, f"{i:06d}.png"), cv2.imread(f, cv2.IMREAD_COLOR))


def measure():
    transform = pipeline()
    for f in files[:32]:
        cv2.imread(f)
    times = [epoch(transform) for _ in range(o.runs)]
    median = statistics.median(times)
    print(json.dumps({"what": "data", "augment": o.augment, "images": len(files), "threads": 1, "median_s": median,
                      "min_s": min(times), "images_per_second": len(files) / median,
                      "version": f"albumentations {A.__version__}, opencv {cv2.__version__}"}))


if o.to_png:
    to_png()
else:
    measure()
