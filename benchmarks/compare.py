#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measures libnn against PyTorch, ONNX Runtime, OpenVINO and darknet: their processes take turns, A B C A B C.

usage: compare.py [--name NAME] [--case WHAT:MODEL:BATCH:SIZE[:PRECISION]]... [--rival MODE[:PRECISION]]... [options]

Each round starts every contender once in a process of its own, which warms up and reports the median of its runs. A
round counts only if others used less than --limit of the machine during all of it; others are recorded, marked and
repeated. A case without enough rounds that count is reported with all its rounds, and is marked as noisy. Ratios are
rival over libnn, above 1 where libnn is faster: of the medians, with the range of the single rounds.

Without --case, the cases of STANDARD. A rival without a precision runs with the case's; PyTorch's bf16 is autocast. Who
has no such case or precision sits it out.
Run it with the Python that has the rivals' frameworks, or name that one with --python. `make bench-rivals` does.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import machine

STANDARD = ["train:efficientnet_b6:8:224", "infer:efficientnet_b6:1:224", "infer:efficientnet_b6:8:224",
            "infer:efficientnet_b6:1:528", "train:efficientnet_b0:32:224", "train:efficientnet_b0:8:224",
            "infer:efficientnet_b0:1:224", "train:efficientnet_lite0:8:224",
            "train:resnet50:8:224", "train:vgg16_bn:4:224",
            "train:efficientnet_b6:8:224:bf16", "infer:efficientnet_b6:8:224:bf16", "train:efficientnet_b0:32:224:bf16"]
MODES = ["channels_last", "nchw", "channels_last_compile", "nchw_compile"] # of PyTorch
DARKNET = "darknet" # trains EfficientNet-B0 only; its source folder is --darknet
RUNTIMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
ALL = (*MODES, *RUNTIMES, DARKNET)
FOLDER = pathlib.Path(__file__).resolve().parent


def parse_case(text):
    parts = text.split(":")
    try:
        what, model, batch, size, precision = parts if len(parts) == 5 else [*parts, "fp32"]
        case = {"what": what, "model": model, "batch_size": int(batch), "image_size": int(size), "precision": precision}
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: not WHAT:MODEL:BATCH:SIZE[:PRECISION]") from None
    if what not in ("train", "infer") or precision not in ("fp32", "bf16") or case["batch_size"] < 1 or case["image_size"] < 1:
        raise argparse.ArgumentTypeError(f"{text}: not WHAT:MODEL:BATCH:SIZE[:PRECISION]")
    return case


def parse_rival(text):
    mode, _, precision = text.partition(":")
    if mode not in ALL or precision not in ("", "fp32", "bf16"):
        raise argparse.ArgumentTypeError(f"{text}: not one of {', '.join(ALL)}, with :fp32 or :bf16")
    return mode, precision


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    p.add_argument("--name", default="cpu", help="the result is benchmarks/results/NAME.json (cpu)")
    p.add_argument("--output", type=pathlib.Path, metavar="FILE", help="the result's file, instead of --name")
    p.add_argument("--case", action="append", type=parse_case, metavar="CASE", help="may be repeated")
    p.add_argument("--rival", action="append", type=parse_rival, metavar="MODE",
                   help=f"{', '.join(ALL)}; may be repeated (channels_last, nchw)")
    p.add_argument("--darknet", type=pathlib.Path, metavar="DIR", help="where darknet was built, for the rival of that name")
    p.add_argument("--alone", action="store_true", help="libnn without rivals: how it compares with itself from case to case")
    p.add_argument("--rounds", type=int, default=5, help="rounds that count (5)")
    p.add_argument("--extra-rounds", type=int, default=5, help="at most so many more, for rounds that did not (5)")
    p.add_argument("--runs", type=int, default=5, help="measured runs of a process (5)")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--limit", type=float, default=0.05, help="share of the machine that others may use (0.05)")
    p.add_argument("--wait", type=float, default=60, help="seconds to wait for a quiet machine before a round (60)")
    p.add_argument("--refuse", action="store_true", help="stop where the machine does not become quiet")
    p.add_argument("--pause", type=float, default=0.5, help="seconds between processes (0.5)")
    p.add_argument("--timeout", type=float, default=1800, help="seconds a process may take (1800)")
    p.add_argument("--build", type=pathlib.Path, default=machine.ROOT / "build")
    p.add_argument("--python", default=sys.executable, help="the Python that runs the rivals (this one)")
    o = p.parse_args()
    if min(o.rounds, o.runs, o.threads) < 1 or o.extra_rounds < 0:
        p.error("counts are at least 1")
    o.case = o.case or [parse_case(c) for c in STANDARD]
    if any(mode == DARKNET for mode, _ in o.rival or []) and not o.darknet:
        p.error("the rival darknet needs --darknet DIR")
    if o.alone and o.rival:
        p.error("--alone and --rival exclude each other")
    o.rival = o.rival or ([] if o.alone else [("channels_last", ""), ("nchw", "")])
    o.output = o.output or FOLDER / "results" / f"{o.name}.json"
    return o


def contenders(o, case):
    """Name and command of libnn and each rival."""
    same = ["--model", case["model"], "--batch-size", str(case["batch_size"]), "--image-size", str(case["image_size"]),
            "--threads", str(o.threads), "--runs", str(o.runs)]
    yield "libnn", case["precision"], [str(o.build / "apps/nn_bench"), case["what"], *same, "--precision", case["precision"]]
    for mode, precision in o.rival:
        precision = precision or case["precision"]
        if mode == DARKNET:
            if o.darknet and (case["what"], case["model"], precision) == ("train", "efficientnet_b0", "fp32"):
                yield DARKNET, precision, [o.python, str(FOLDER / "rivals/darknet_bench.py"), "train", *same,
                                           "--darknet", str(o.darknet)]
            continue
        if mode in RUNTIMES:
            if case["what"] == "infer" and (mode, precision) != ("onnxruntime", "bf16"):
                yield RUNTIMES[mode], precision, [o.python, str(FOLDER / "rivals/runtime_bench.py"), case["what"], *same,
                                                  "--precision", precision, "--mode", mode]
            continue
        layout = mode.removesuffix("_compile")
        command = [o.python, str(FOLDER / "rivals/torch_bench.py"), case["what"], *same, "--precision", precision,
                   "--mode", layout] + ["--compile"] * (mode != layout)
        yield f"PyTorch {mode}", precision, command


def measure(o, command):
    """Runs one process. Returns its result, or a dict that has only "error"."""
    load, start = machine.Load(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "result.json"
        try:
            done = subprocess.run([*command, "--json", str(path)], capture_output=True, text=True, timeout=o.timeout, check=False)
        except subprocess.TimeoutExpired:
            return {"error": f"no result after {o.timeout:g} s"}
        except OSError as e:
            return {"error": f"{command[0]}: {e.strerror}"}
        if done.returncode:
            return {"error": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]}
        result = json.loads(path.read_text(encoding="utf-8"))
    return result | {"process_s": time.monotonic() - start, "others": load.others()}


def summary(runs):
    """Of one contender's runs, those of rounds that count: medians over the rounds, and the range."""
    def middle(key):
        return statistics.median(r[key] for r in runs)
    times = [r["median_s"] for r in runs]
    return {"median_s": statistics.median(times), "lowest_median_s": min(times), "highest_median_s": max(times),
            "min_s": min(r["min_s"] for r in runs), "images_per_second": runs[0]["batch_size"] / statistics.median(times),
            "first_step_s": middle("first_step_s"), "peak_rss_bytes": middle("peak_rss_bytes"), "rounds": len(runs)}


def evaluate(o, record):
    """Fills in summaries and ratios from the rounds so far."""
    counted = [i for i, r in enumerate(record["rounds"]) if r["counts"]]
    record["noisy"] = len(counted) < o.rounds
    if record["noisy"]:
        counted = range(len(record["rounds"]))
    for c in record["contenders"]:
        if "error" not in c:
            c["summary"] = summary([c["runs"][i] for i in counted])
    own = record["contenders"][0]
    for c in record["contenders"][1:]:
        if "error" in c or "error" in own:
            continue
        single = [c["runs"][i]["median_s"] / own["runs"][i]["median_s"] for i in counted]
        c["ratio"] = {"of_medians": c["summary"]["median_s"] / own["summary"]["median_s"], "lowest": min(single),
                      "highest": max(single)}


def one_round(o, commands, record):
    """Returns whether anything could be measured."""
    before = machine.wait_until_quiet(o.limit, o.wait)
    if before > o.limit and o.refuse:
        sys.exit(f"compare: others use {before:.0%} of the machine; try again when it is quiet")
    round_ = {"others_before": before, "loadavg": list(os.getloadavg()), "others": 0.0}
    for c, command in zip(record["contenders"], commands):
        if "error" in c:
            continue
        time.sleep(o.pause)
        result = measure(o, command)
        if "error" in result:
            c["error"] = result["error"]
            print(f"  {c['name']}: {c['error']}", flush=True)
            continue
        c["runs"].append(result)
        round_["others"] = max(round_["others"], result["others"])
    round_["counts"] = max(before, round_["others"]) <= o.limit
    alive = [c for c in record["contenders"] if "error" not in c]
    if alive:
        record["rounds"].append(round_)
        print(f"  round {len(record['rounds'])}: " +
              ", ".join(f"{c['name']} {c['precision']} {c['runs'][-1]['median_s'] * 1e3:.1f} ms" for c in alive) +
              ("" if round_["counts"] else f"  (does not count: others used {max(before, round_['others']):.0%})"), flush=True)
    return bool(alive)


def print_case(record):
    for c in record["contenders"]:
        name = f"  {c['name']} {c['precision']}"
        if "error" in c:
            print(f"{name}: no result: {c['error']}")
            continue
        s = c["summary"]
        line = (f"{name:38} median {s['median_s'] * 1e3:9.1f} ms ({s['lowest_median_s'] * 1e3:.1f} .. "
                f"{s['highest_median_s'] * 1e3:.1f}), {s['images_per_second']:.2f} images/s, first step "
                f"{s['first_step_s']:.2f} s, {s['peak_rss_bytes'] / 1e6:.0f} MB")
        if "ratio" in c:
            line += f", ratio {c['ratio']['of_medians']:.2f} ({c['ratio']['lowest']:.2f} .. {c['ratio']['highest']:.2f})"
        print(line)
    if record["noisy"]:
        print("  NOISY: too few rounds without other load; these numbers are not to be quoted", flush=True)


def save(o, report):
    o.output.parent.mkdir(parents=True, exist_ok=True)
    new = o.output.with_suffix(".new")
    new.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    new.replace(o.output)


def main():
    o = arguments()
    report = {"kind": "speed", "machine": machine.describe(), "threads": o.threads,
              "rule": {"rounds": o.rounds, "runs": o.runs, "limit": o.limit},
              "versions": {"libnn": machine.program_version(o.build / "apps/nn_bench").split()[-1]}, "cases": []}
    for case in o.case:
        everyone = list(contenders(o, case))
        record = case | {"rounds": [], "contenders": [{"name": n, "precision": p, "runs": []} for n, p, _ in everyone]}
        print("{what} {model}, batch {batch_size}, {image_size} px, {precision}".format(**case), flush=True)
        report["cases"].append(record)
        while (sum(r["counts"] for r in record["rounds"]) < o.rounds and
               len(record["rounds"]) < o.rounds + o.extra_rounds and one_round(o, [c for _, _, c in everyone], record)):
            evaluate(o, record)
            for c in record["contenders"]:
                report["versions"].update(c["runs"][-1].get("versions", {}) if c["runs"] else {})
            save(o, report)
        if record["rounds"]:
            print_case(record)
        else:
            report["cases"].pop()
    if not report["cases"]:
        sys.exit("compare: nothing could be measured")
    save(o, report)
    print(f"written: {o.output}")


main()
