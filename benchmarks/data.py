#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""libnn beside Albumentations 1.3.1, in turns, one thread each, from files to augmented floats of 224 px.

usage: data.py DIR [--images N] [--rounds N] [--augment A...] [--json FILE] [--label TEXT]

DIR holds JPEG files, of which N are taken from all over it, once as they are and once as PNG files. Every pipeline ends
in normalised floats. Each decoder is measured for which there is a build: make; make JPEG=turbo; make PNG=spng (or both
in one). NN_AUGMENT_VENV names a virtual environment with Albumentations 1.3.1 (default: the one that make parity builds).
Prints the medians of the rounds and the median of their ratios.
"""
import argparse
import glob
import json
import os
import statistics
import subprocess
import tempfile

import machine

p = argparse.ArgumentParser()
p.add_argument("folder")
p.add_argument("--images", type=int, default=300)
p.add_argument("--rounds", type=int, default=3)
p.add_argument("--augment", nargs="*", default=["none", "entry", "notebook"])
p.add_argument("--json")
p.add_argument("--label", default="faces of 256 px", help="what the images are, for the report")
o = p.parse_args()
here = os.path.dirname(os.path.abspath(__file__))
python = os.path.join(os.environ.get("NN_AUGMENT_VENV", "build/augment-venv"), "bin/python")
rival = [python, os.path.join(here, "rivals/albumentations_bench.py")]
BUILDS = ("build", "build/turbo", "build/spng", "build/turbo-spng")


def decoders():
    """{"JPEG": {decoder: program}, "PNG": ...} of the builds that are there."""
    found = {"JPEG": {}, "PNG": {}}
    for build in BUILDS:
        program = f"{build}/apps/nn_bench"
        if os.path.exists(program):
            said = subprocess.run([program, "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout.split("decoded by ", 1)[1]
            for source, name in zip(("JPEG", "PNG"), said.strip().split(", PNG files by ")):
                found[source].setdefault(name, program)
    return found


def ours(program, folder, augment):
    with tempfile.NamedTemporaryFile() as f:
        subprocess.run([program, "data", "--data", folder, "--augment", augment, "--threads", "1", "--runs", "1", "--json", f.name],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return json.load(open(f.name))


def theirs(folder, augment):
    out = subprocess.run([*rival, folder, "--augment", augment, "--runs", "1"], check=True, stdout=subprocess.PIPE)
    return json.loads(out.stdout)


def to_floats(program, folder, augment):
    """The pipeline's whole text, with a last step that makes floats where none does."""
    text = ours(program, folder, augment)["pipeline"]
    return text if "normalize" in text else text + "normalize"


def pictures(folder):
    """Two folders below `folder`: JPEG and PNG."""
    files = sorted(f for f in glob.glob(os.path.join(o.folder, "**"), recursive=True) if f.lower().endswith((".jpg", ".jpeg")))
    chosen = files[::max(1, len(files) // o.images)][:o.images]
    made = {source: os.path.join(folder, source) for source in ("JPEG", "PNG")}
    for path in made.values():
        os.mkdir(path)
    for i, f in enumerate(chosen):
        os.symlink(os.path.abspath(f), os.path.join(made["JPEG"], f"{i:06d}.jpg"))
    subprocess.run([*rival, made["JPEG"], "--to-png", made["PNG"]], check=True)
    return made


def measure(source, folder, programs, augment):
    """One row for each decoder; the rival's turn follows all of ours in each round."""
    texts = {name: to_floats(program, folder, augment) for name, program in programs.items()}
    rows = {name: [] for name in programs}
    rivals = []
    for _ in range(o.rounds):
        for name, program in programs.items():
            rows[name].append(ours(program, folder, texts[name]))
        rivals.append(theirs(folder, augment))
    b = [r["images_per_second"] for r in rivals]
    for name, runs in rows.items():
        a = [r["images_per_second"] for r in runs]
        ratios = [i / j for i, j in zip(a, b)]
        row = {"augment": augment, "source": source, "decoder": name, "images": runs[0]["images"],
               "libnn": statistics.median(a), "rival": statistics.median(b), "version": rivals[0]["version"],
               "ratio": statistics.median(ratios), "ratios": ratios}
        print(f"{augment} from {source} by {name}: libnn {row['libnn']:.1f} images/s, {row['version']} {row['rival']:.1f} images/s: "
              f"{row['ratio']:.2f}x ({min(ratios):.2f} to {max(ratios):.2f})", flush=True)
        yield row


results = []
with tempfile.TemporaryDirectory() as scratch:
    folders = pictures(scratch)
    for source, programs in decoders().items():
        for augment in o.augment:
            results.extend(measure(source, folders[source], programs, augment))
if o.json:
    json.dump({"kind": "data", "folder": f"{results[0]['images']} {o.label}", "machine": machine.describe(), "rows": results},
              open(o.json, "w"), indent=2)
