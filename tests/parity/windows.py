#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares the windows of random_resized_crop and erasing with those that torchvision draws.

usage: windows.py BUILD

Kolmogorov-Smirnov of 20,000 of ours against as many of theirs: left, top, width, height and area, in pictures of which
some leave torchvision no window and make it take its way out.
"""
import sys

import numpy as np
import torch
from scipy import stats
from torchvision.transforms import RandomErasing, RandomResizedCrop

from augment_lib import draws_of, load
from parity import finish, report

COUNT = 20000
SIZES = ((224, 224), (300, 100), (20, 37), (400, 8))
NAMES = ("left", "top", "width", "height")


def crop(img):
    return RandomResizedCrop.get_params(img, (0.08, 1), (3 / 4, 4 / 3))


def erase(img):
    """All of the picture is how torchvision says that nothing fitted."""
    y, x, h, w, _ = RandomErasing.get_params(img, (0.02, 0.33), (0.3, 3.3), [0.0])
    return (0, 0, 0, 0) if (h, w) == tuple(img.shape[1:]) else (y, x, h, w)


def main():
    lib = load(sys.argv[1])
    tests = 2 * len(SIZES) * (len(NAMES) + 1)
    torch.manual_seed(1)
    for width, height in SIZES:
        img = torch.zeros(3, height, width)
        for text, theirs in (("random_resized_crop", crop), ("erasing p=1", erase)):
            a = draws_of(lib, text, width, height, COUNT)[:, :4]
            b = np.array([theirs(img) for _ in range(COUNT)])[:, [1, 0, 3, 2]]
            pairs = [(n, a[:, i], b[:, i]) for i, n in enumerate(NAMES)]
            for name, x, y in pairs + [("area", a[:, 2] * a[:, 3], b[:, 2] * b[:, 3])]:
                p = stats.ks_2samp(x, y)[1]
                report(p * tests > 0.01, f"{text} in {width}x{height}, {name}: p = {p:.3g} (with {tests} tests: {min(1, p * tests):.3g})")
    finish()


main()
