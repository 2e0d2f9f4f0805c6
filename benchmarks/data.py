#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""libnn's augmentation beside Albumentations 1.3.1, in turns, one thread each.

usage: data.py DIR [--rounds N] [--augment A...] [--json FILE] [--label TEXT]

DIR holds images; NN_AUGMENT_VENV names a virtual environment with Albumentations 1.3.1 (default: the one that
make parity builds). Prints the medians of the rounds and their ratio.
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile

p = argparse.ArgumentParser()
p.add_argument("folder")
p.add_argument("--rounds", type=int, default=3)
p.add_argument("--augment", nargs="*", default=["none", "entry"])
p.add_argument("--json")
p.add_argument("--label", help="what the images are, for the report")
o = p.parse_args()
here = os.path.dirname(os.path.abspath(__file__))
python = os.path.join(os.environ.get("NN_AUGMENT_VENV", "build/augment-venv"), "bin/python")


def ours(augment):
    with tempfile.NamedTemporaryFile() as f:
        subprocess.run(["build/apps/nn_bench", "data", "--data", o.folder, "--augment", augment, "--threads", "1",
                        "--runs", "1", "--json", f.name], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return json.load(open(f.name))


def theirs(augment):
    out = subprocess.run([python, os.path.join(here, "rivals/albumentations_bench.py"), o.folder, "--augment", augment,
                          "--runs", "1"], check=True, stdout=subprocess.PIPE)
    return json.loads(out.stdout)


results = []
for augment in o.augment:
    a, b = [], []
    for _ in range(o.rounds):
        a.append(ours(augment))
        b.append(theirs(augment))
    x, y = ([r["images_per_second"] for r in s] for s in (a, b))
    ratios = [i / j for i, j in zip(x, y)]
    row = {"augment": augment, "images": a[0]["images"], "libnn": statistics.median(x), "rival": statistics.median(y),
           "version": b[0]["version"], "ratio": statistics.median(ratios), "ratios": ratios}
    results.append(row)
    print(f"{augment}: libnn {row['libnn']:.1f} images/s, {row['version']} {row['rival']:.1f} images/s: {row['ratio']:.2f}x "
          f"({min(ratios):.2f} to {max(ratios):.2f})", flush=True)
if o.json:
    json.dump({"kind": "data", "folder": o.label or o.folder, "rows": results}, open(o.json, "w"), indent=2)
