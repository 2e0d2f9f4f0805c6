#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Images a second from files to augmented 224 px pixels with Albumentations 1.3.1 and OpenCV on one thread.

usage: albumentations_bench.py DIR [--augment none|flip|entry] [--runs N] [--image-size N]

Prints one JSON object with the fields of `nn_bench data --json`. Decodes with cv2.imread to RGB, as the notebook did.
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
p.add_argument("--augment", default="entry", choices=["none", "flip", "entry"])
p.add_argument("--runs", type=int, default=3)
p.add_argument("--image-size", type=int, default=224)
o = p.parse_args()
steps = [A.Resize(o.image_size, o.image_size)]
if o.augment == "flip":
    steps.append(A.HorizontalFlip())
if o.augment == "entry":
    steps += [A.AdvancedBlur(), A.ColorJitter(), A.GaussNoise(),
              A.OpticalDistortion(distort_limit=(-0.3, 0.3), shift_limit=0.5, p=0.5), A.HorizontalFlip(),
              A.Affine(scale=(0.9, 2), translate_percent=(-0.1, 0.1), rotate=(-10, 10), shear=(-20, 20)),
              A.ElasticTransform(alpha=300)]
pipeline = A.Compose(steps)
files = sorted(f for f in glob.glob(os.path.join(o.folder, "**"), recursive=True) if f.lower().endswith((".jpg", ".jpeg", ".png")))


def epoch():
    start = time.perf_counter()
    for f in files:
        pipeline(image=cv2.cvtColor(cv2.imread(f, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))
    return time.perf_counter() - start


for f in files[:32]:
    cv2.imread(f)
times = [epoch() for _ in range(o.runs)]
median = statistics.median(times)
print(json.dumps({"what": "data", "augment": o.augment, "images": len(files), "threads": 1, "median_s": median,
                  "min_s": min(times), "images_per_second": len(files) / median,
                  "version": f"albumentations {A.__version__}, opencv {cv2.__version__}"}))
