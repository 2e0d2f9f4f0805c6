#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures single ops beside PyTorch's, on the shapes of real networks.

usage: ops.py [--threads N] [--op NAME]... [--rounds N] [--json FILE]

libnn's side are the cases named "bench ..." in the tables of tests/ops, run by the test programs (--bench); CASES says
what they are for PyTorch, whose images are channels_last. The two sides alternate; a row has the medians of the rounds
and how much faster libnn is. Run it with the Python that has PyTorch, after `make tests`.
"""
import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

import machine


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--op", action="append", metavar="NAME", help="may be repeated (all)")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--json", type=pathlib.Path, metavar="FILE", help="also write the result there")
    p.add_argument("--build", type=pathlib.Path, default=machine.ROOT / "build")
    o = p.parse_args()
    if min(o.threads, o.rounds) < 1:
        p.error("counts are at least 1")
    return o


o = arguments()
os.environ["OMP_NUM_THREADS"] = str(o.threads)  # read when the library is loaded

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

rand = torch.randn


def image(n, h, w, c):
    return rand(n, h, w, c).permute(0, 3, 1, 2)


CASES = {  # op and name of the case in its test: function and tensors, made when it is this case's turn
    ("layer_norm", "bench ViT"): (lambda x, w, b: F.layer_norm(x, (768,), w, b), lambda: [rand(8, 197, 768), rand(768), rand(768)]),
    ("layer_norm", "bench short rows"): (lambda x, w, b: F.layer_norm(x, (64,), w, b), lambda: [rand(8192, 64), rand(64), rand(64)]),
    ("group_norm", "bench 32 groups"): (lambda x, w, b: F.group_norm(x, 32, w, b), lambda: [image(8, 28, 28, 256), rand(256), rand(256)]),
    ("softmax", "bench attention"): (lambda x: F.softmax(x, -1), lambda: [rand(8, 12, 197, 197)]),
    ("softmax", "bench 1000 classes"): (lambda x: F.softmax(x, -1), lambda: [rand(256, 1000)]),
    ("log_softmax", "bench attention"): (lambda x: F.log_softmax(x, -1), lambda: [rand(8, 12, 197, 197)]),
    ("log_softmax", "bench 1000 classes"): (lambda x: F.log_softmax(x, -1), lambda: [rand(256, 1000)]),
    ("matmul", "bench queries, keys"): (lambda a, b: a @ b.transpose(-1, -2), lambda: [rand(8, 12, 197, 64), rand(8, 12, 197, 64)]),
    ("matmul", "bench weights, values"): (torch.matmul, lambda: [rand(8, 12, 197, 197), rand(8, 12, 197, 64)]),
    ("matmul", "bench windows"): (torch.matmul, lambda: [rand(8, 12, 96, 64), rand(8, 12, 64, 96)]),
    ("matmul", "bench 1024"): (torch.matmul, lambda: [rand(1024, 1024), rand(1024, 1024)]),
    ("max_pool2d", "bench ResNet"): (lambda x: F.max_pool2d(x, 3, 2, 1), lambda: [image(8, 112, 112, 64)]),
    ("max_pool2d", "bench VGG"): (lambda x: F.max_pool2d(x, 2), lambda: [image(8, 112, 112, 128)]),
    ("avg_pool2d", "bench 3x3"): (lambda x: F.avg_pool2d(x, 3, 2, 1), lambda: [image(8, 112, 112, 64)]),
    ("upsample", "bench nearest"): (lambda x: F.interpolate(x, (56, 56)), lambda: [image(8, 28, 28, 256)]),
    ("upsample", "bench bilinear"): (lambda x: F.interpolate(x, (56, 56), mode="bilinear"), lambda: [image(8, 28, 28, 256)]),
    ("conv2d", "bench 3x3 of 64"): (lambda x, w: F.conv2d(x, w, padding=1), lambda: [image(8, 56, 56, 64), rand(64, 64, 3, 3)]),
    ("conv2d", "bench 3x3 of 256, stride"): (lambda x, w: F.conv2d(x, w, stride=2, padding=1),
                                             lambda: [image(8, 28, 28, 256), rand(256, 256, 3, 3)]),
    ("conv_transpose2d", "bench generator"): (lambda x, w: F.conv_transpose2d(x, w, stride=2, padding=1),
                                              lambda: [image(8, 28, 28, 128), rand(128, 64, 4, 4)]),
    ("conv_transpose2d", "bench U-net"): (lambda x, w, b: F.conv_transpose2d(x, w, b, stride=2),
                                          lambda: [image(8, 28, 28, 256), rand(256, 128, 2, 2), rand(128)]),
}
LINE = re.compile(r"\w+ +(bench .*?) {2,}(\w+) +(forward|backward) +([0-9.]+) ms")


def ours(op):
    """Milliseconds by (case, segment), summed over the steps of the op itself."""
    command = [o.build / f"tests/ops/test_{op}", "--bench", "--threads", str(o.threads)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    found = (LINE.match(line) for line in lines)
    return {(m[1], m[3]): float(m[4]) for m in found if m and m[2] == op}


def mean_ms(call, seconds=0.3):
    call()
    start, runs = time.perf_counter(), 0
    while (passed := time.perf_counter() - start) < seconds:
        call()
        runs += 1
    return passed / runs * 1e3


def theirs(function, tensors):
    x = [t.requires_grad_() for t in tensors()]
    y = function(*x)
    seed = torch.randn_like(y)
    with torch.no_grad():
        forward = mean_ms(lambda: function(*x))
    return {"forward": forward, "backward": mean_ms(lambda: torch.autograd.grad(y, x, seed, retain_graph=True))}


def main():
    torch.set_num_threads(o.threads)
    ops = o.op or list(dict.fromkeys(op for op, _ in CASES))
    times = {}
    for _ in range(o.rounds):
        for op in ops:
            mine = ours(op)
            for (which, name), (function, tensors) in CASES.items():
                if which == op:
                    for segment, ms in theirs(function, tensors).items():
                        times.setdefault((op, name, segment), []).append((mine[name, segment], ms))
    rows = []
    for (op, name, segment), pairs in times.items():
        libnn, rival = (statistics.median(side) for side in zip(*pairs))
        rows.append({"op": op, "case": name, "segment": segment, "libnn_ms": libnn, "torch_ms": rival})
        print(f"{op:16} {name:26} {segment:8} libnn {libnn:8.3f} ms  PyTorch {rival:8.3f} ms  {rival / libnn:5.2f} times")
    if o.json:
        o.json.write_text(json.dumps({"machine": machine.describe(), "threads": o.threads, "torch": torch.__version__,
                                      "rows": rows}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
