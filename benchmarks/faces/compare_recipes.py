#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Which recipe of fakereal_train is best on a folder of images? Trains each with several seeds and writes a table.

usage: compare_recipes.py --data DIR --runs-dir DIR --output FILE.json [--seeds 1,2,3] [--common "OPTIONS"]
                          NAME="OPTIONS" ...

    compare_recipes.py --data faces --runs-dir runs/recipes --output faces-recipes.json \\
        --common "--model efficientnet_lite0 --weights efficientnet-lite0-57934424.pth --optimizer adamw --lr 1e-3" \\
        none="--augment none" flip="--augment flip" entry="--augment entry"

Judged on the validation images alone, at the epoch with the lowest validation loss, which is the checkpoint that
fakereal_train keeps. What is finished is not run again, what was interrupted goes on. The table is printed as Markdown.
"""
import argparse
import csv
import json
import os
import pathlib
import shlex
import statistics
import subprocess
import sys

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))
import machine  # noqa: E402


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    p.add_argument("--data", type=pathlib.Path, required=True)
    p.add_argument("--runs-dir", type=pathlib.Path, required=True)
    p.add_argument("--output", type=pathlib.Path, required=True, metavar="FILE.json")
    p.add_argument("--seeds", default="1,2,3")
    p.add_argument("--common", default="", metavar="OPTIONS", help="options of all recipes")
    p.add_argument("--build", type=pathlib.Path, default=machine.ROOT / "build")
    p.add_argument("recipe", nargs="+", metavar='NAME="OPTIONS"')
    o = p.parse_args()
    o.seeds = [int(s) for s in o.seeds.split(",")]
    o.recipe = dict(r.split("=", 1) for r in o.recipe)
    return o


def train(o, name, seed):
    """Trains or goes on; returns the epochs, one row each."""
    folder = o.runs_dir / f"{name}-{seed}"
    command = [o.build / "apps/fakereal_train", "--data", o.data, "--run-dir", folder, "--seed", str(seed), "--resume", "auto",
               *shlex.split(o.common), *shlex.split(o.recipe[name])]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
    if done:
        sys.exit(f"compare_recipes: {name}, seed {seed}: fakereal_train ended with {done}")
    with open(folder / "metrics.csv", encoding="utf-8", newline="") as f:
        return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(f)]


def judge(seed, rows):
    best = min(reversed(rows), key=lambda r: r["valid_loss"])  # of equal ones the last
    return {"seed": seed, "best_epoch": rows.index(best) + 1, "macro_f1": best["valid_macro_f1"],
            "valid_loss": best["valid_loss"], "train_loss": best["train_loss"], "metrics": rows}


def mean(runs, key):
    return statistics.mean(r[key] for r in runs)


def main():
    o = arguments()
    report = {"kind": "recipes", "machine": machine.describe(), "common": o.common.replace(os.path.expanduser("~"), "~"),
              "libnn": machine.program_version(o.build / "apps/fakereal_train"), "recipes": {}}
    for name, options in o.recipe.items():
        runs = [judge(seed, train(o, name, seed)) for seed in o.seeds]
        report["recipes"][name] = {"options": options, "runs": runs}
        o.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print("| recipe | " + " | ".join(f"seed {s}" for s in o.seeds) + " | mean macro F1 | mean loss | best epochs |")
    print("| --- |" + " --: |" * (len(o.seeds) + 3))
    for name, r in report["recipes"].items():
        print(f"| {name} | " + " | ".join(f"{run['macro_f1']:.4f}" for run in r["runs"]) +
              f" | {mean(r['runs'], 'macro_f1'):.4f} | {mean(r['runs'], 'valid_loss'):.4f} | " +
              ", ".join(str(run["best_epoch"]) for run in r["runs"]) + " |")


main()
