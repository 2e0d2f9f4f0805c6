#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""fakereal_train has to learn 16 images by heart: its training loss must fall below 0.02.

usage: overfit.py --data DIR [--model NAME] [--image-size N] [--epochs N] [--lr X] [--below X] [--build DIR]

Trains on 8 fake and 8 real images of the training split, without warm-up and augmentation, and validates on as many of
the validation split. One epoch is one step. A wrong gradient, a mixed-up label or a loader that repeats or forgets images
does not get there. Exits 0 if the loss fell so far, 1 if not. Needs no package beyond Python itself.
"""
import argparse
import csv
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
EACH = 8


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    p.add_argument("--data", type=pathlib.Path, required=True, help="folder with {train,valid}/{fake_images,real_images}")
    p.add_argument("--model", default="efficientnet_b0")
    p.add_argument("--image-size", type=int, default=128)
    p.add_argument("--epochs", type=int, default=100)
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument("--below", type=float, default=0.02)
    p.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    o = p.parse_args()

    with tempfile.TemporaryDirectory() as temp:
        data, run = pathlib.Path(temp) / "data", pathlib.Path(temp) / "run"
        for split in ("train", "valid"):
            for kind in ("fake_images", "real_images"):
                chosen = sorted(x for x in (o.data / split / kind).iterdir() if x.is_file())[:EACH]
                if len(chosen) < EACH:
                    sys.exit(f"overfit: {o.data / split / kind} has fewer than {EACH} images")
                (data / split / kind).mkdir(parents=True)
                for path in chosen:
                    shutil.copy(path, data / split / kind)
        done = subprocess.run(
            [o.build / "apps/fakereal_train", "--data", data, "--run-dir", run, "--model", o.model, "--image-size",
             str(o.image_size), "--batch-size", str(2 * EACH), "--epochs", str(o.epochs), "--lr", str(o.lr),
             "--warmup-steps", "0", "--augment", "none", "--patience", "0", "--checkpoint-every", "1000000"],
            check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"{done.stderr}overfit: fakereal_train ended with {done.returncode}")
        with open(run / "metrics.csv", encoding="utf-8", newline="") as f:
            losses = [float(row["train_loss"]) for row in csv.DictReader(f)]
    lowest = min(losses)
    first = next((i + 1 for i, loss in enumerate(losses) if loss < o.below), None)
    ok = first is not None
    print(("PASS" if ok else "FAIL") + f" {o.model} at {o.image_size} px, {2 * EACH} images: training loss from "
          f"{losses[0]:.3f} to {lowest:.4f} in {len(losses)} steps" + (f", below {o.below:g} after {first}" if ok else ""))
    sys.exit(0 if ok else 1)


main()
