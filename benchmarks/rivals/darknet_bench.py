#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""nn_bench's training step of EfficientNet-B0 made with darknet (https://github.com/AlexeyAB/darknet) on the CPU.

usage: darknet_bench.py train --darknet DIR [--model efficientnet_b0] [--batch-size N] [--image-size N] [--threads N]
                        [--runs N] [--warmup N] [--json FILE]

DIR is its source folder, built with `make OPENMP=1 AVX=1 LIBSO=0`. The network is its own cfg/efficientnet_b0.cfg, with two
classes; images are noise. A step is the time between two of its lines (the seconds in them are processor time), in which
the next batch is loaded by other threads, and updates by SGD, the only optimizer that it has for this.
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import numpy as np
import process
from PIL import Image


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    p.add_argument("what", choices=["train"])
    p.add_argument("--darknet", type=pathlib.Path, required=True)
    process.add_arguments(p)
    o = process.check(p, p.parse_args())
    if o.model != "efficientnet_b0" or o.precision != "fp32":
        p.error("only efficientnet_b0 in float32")
    return o


def network(o):
    """Its configuration with our sizes, and without the augmentations that are not part of a step."""
    text = (o.darknet / "cfg/efficientnet_b0.cfg").read_text(encoding="utf-8")
    for key, value in (("batch", o.batch_size), ("subdivisions", 1), ("height", o.image_size), ("width", o.image_size),
                       ("max_batches", o.warmup + o.runs)):
        text, n = re.subn(rf"^{key}=.*$", f"{key}={value}", text, count=1, flags=re.M)
        if not n:
            sys.exit(f"darknet_bench: cfg/efficientnet_b0.cfg has no {key}")
    text = re.sub(r"^(blur|cutmix|mosaic|mixup)=.*$", "", text, flags=re.M)
    return re.sub(r"^filters=1000$", "filters=2", text, flags=re.M)


def prepare(o, folder):
    rng, names = np.random.default_rng(1), []
    for i in range(2 * o.batch_size):
        names.append(str(folder / f"{('fake', 'real')[i % 2]}_{i}.png"))
        Image.fromarray(rng.integers(0, 256, (o.image_size, o.image_size, 3), dtype=np.uint8)).save(names[-1])
    files = {"list": "\n".join(names), "labels": "fake_\nreal_", "net.cfg": network(o),
             "data": f"classes=2\ntrain={folder}/list\nvalid={folder}/list\nlabels={folder}/labels\nbackup={folder}\ntop=1"}
    for name, text in files.items():
        (folder / name).write_text(text + "\n", encoding="utf-8")


def main():
    o = arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        prepare(o, folder)
        begun, lines = time.perf_counter(), []
        child = subprocess.Popen(["stdbuf", "-oL", o.darknet.resolve() / "darknet", "classifier", "train", folder / "data",
                                  folder / "net.cfg", "-dont_show"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                                 errors="replace", env=os.environ | {"OMP_NUM_THREADS": str(o.threads)})
        for line in child.stdout:
            if " rate, " in line:
                lines.append(time.perf_counter() - begun)
        _, status, used = os.wait4(child.pid, 0)
    if status or len(lines) != o.warmup + o.runs:
        sys.exit(f"darknet_bench: darknet ended with {os.waitstatus_to_exitcode(status)} after {len(lines)} batches")
    seconds = [b - a for a, b in zip(lines, lines[1:])][o.warmup - 1:]
    process.report(o, seconds, lines[0], "darknet", "2025", "darknet", versions={"darknet": "2025"},
                   peak_rss_bytes=used.ru_maxrss * 1024, optimizer="SGD")


main()
