#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes torch.h: files of torch.save as bytes, for tests/io/test_torch.c.

    python make_torch.py > torch.h
"""
import argparse
import collections
import hashlib
import io

import torch


def weights():
    w = torch.arange(24.0).reshape(2, 3, 2, 2)
    return collections.OrderedDict([
        ("w", w), ("turned", w.transpose(0, 1)), ("last", w.to(memory_format=torch.channels_last)), ("part", w[1]),
        ("count", torch.tensor(3)), ("half", w.half()), ("brain", w.bfloat16()), ("double", w.double()),
        ("flags", torch.tensor([True, False])), ("none", torch.zeros(0, 3)),
        ("parameter", torch.nn.Parameter(torch.tensor([0.5, -2.0])))])


def saved(thing, **how):
    buffer = io.BytesIO()
    torch.save(thing, buffer, **how)
    return buffer.getvalue()


def show(name, data):
    print(f"static const unsigned char {name}[] = {{")
    for i in range(0, len(data), 20):
        print("    " + ", ".join(str(b) for b in data[i:i + 20]) + ",")
    print("};")


def main():
    average = collections.OrderedDict(w=torch.full((2,), 7.0))
    checkpoint = {"epoch": 3, "arch": "tf_efficientnet_b0", "state_dict": weights(), "state_dict_ema": average,
                  "args": argparse.Namespace(lr=0.1, names=["a"]), "optimizer": {"state": {0: {"step": 1.0}}}, "loss": 0.25}
    print(f"/* Made by make_torch.py with torch {torch.__version__.split('+')[0]}. */")
    data = saved(checkpoint)
    show("golden_zip", data)
    print(f'#define GOLDEN_ZIP_SHA "{hashlib.sha256(data).hexdigest()[:8]}"')
    show("golden_legacy", saved(weights(), _use_new_zipfile_serialization=False))


main()
