#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes docs/performance.md and docs/speed.svg from what compare.py and compare_faces.py measured: every number is theirs.

usage: report.py [FILE...] [--output FILE]

Without FILE, all of benchmarks/results/*.json. `--output -` prints. benchmarks/notes.md, what the numbers do not say by
themselves, follows the tables.
"""
import argparse
import json
import pathlib
import re
import sys

import chart

ROOT = pathlib.Path(__file__).resolve().parent.parent
NOTES = ROOT / "benchmarks/notes.md"
CHART = ROOT / "docs/speed.svg"
CHARTED = (("A training step of EfficientNet-B6, 8 images of 224 px", "train", "efficientnet_b6", 8, 224),
           ("A training step of EfficientNet-B0, 8 images of 224 px", "train", "efficientnet_b0", 8, 224),
           ("Inference of EfficientNet-B6, 8 images of 224 px", "infer", "efficientnet_b6", 8, 224),
           ("Inference of EfficientNet-B6, one image of 224 px", "infer", "efficientnet_b6", 1, 224))

HEAD = """# Performance

Written by `benchmarks/report.py` from the files in `benchmarks/results/` and `benchmarks/notes.md`; do not edit. `make bench-rivals` measures anew,
`benchmarks/faces/compare_faces.py` repeats the comparison of learning.
"""

SPEED = """In the tables of speed each contender runs in a process of its own, and processes alternate: every round starts all
of them once, each warms up and then measures its steps. Time is the median of the rounds' medians, in brackets the lowest
and highest. A round counts if other programs used at most a small part of the machine. The ratio is the rival's time over
libnn's, above 1 where libnn is faster, with the range of the single rounds. Training is a whole step: forward, cross
entropy, backward, AdamW (darknet: SGD). Weights and images are random. libnn's time includes the normalisation of byte
images, which the others get as floats. First step: from the start of the process to the end of its first step. Peak memory
is the resident set. GMAC/s: images per second times the multiply-adds of one image's forward pass.
"""

RULE = "{runs} runs of each process; rounds wanted: {rounds}, with at most {limit} of the machine used by others.\n"

NOISY = """(*) Other programs disturbed too many rounds, so all rounds were used: the times are not to be relied upon,
and no ratio is given.
"""

LEARNING = """Both train from {start} with one recipe on the same images; the random numbers differ, so the means are what can be
compared. The score is the macro F1 on the validation images, in the epoch with the lowest validation loss; in brackets the
highest of any epoch. The machine did other work meanwhile: of the speeds only their ratio says something.
"""


def table(head, rows, right=()):
    """A table in Markdown; `right` are the columns aligned to the right."""
    yield "| " + " | ".join(head) + " |"
    yield "| " + " | ".join("--:" if i in right else "---" for i in range(len(head))) + " |"
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def milliseconds(s):
    return f"{s * 1e3:.0f}" if s >= 1 else f"{s * 1e3:.1f}"


def spread(values, form):
    return f"{form(values[0])} ({form(values[1])} .. {form(values[2])})"


def digits(key):
    return "{:.1f}".format if key in ("images_per_second", "peak_mb") else "{:.4f}".format


def where(report):
    m = report["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in sorted(report["versions"].items()))
    yield (f"{m['cpu']} ({', '.join(m['vector_flags']) or 'no vector extensions known here'}), {report['threads']} threads of "
           f"{m['cores']} processors, {m['memory_bytes'] / 2**30:.0f} GiB, Linux {m['kernel']}; {versions}"
           + (f", sources {m['commit']}" if m["commit"] else "") + f"; {m['date'][:10]}.")
    yield ""


def work_rate(contender, summary):
    """Multiply-adds a second, where the contender counts them: the same for all cases if none has troubles of its own."""
    work = contender["runs"][0].get("multiply_adds_per_image")
    return f"{summary['images_per_second'] * work / 1e9:.1f}" if work else "-"


def speed_rows(cases):
    for case in cases:
        name = f"{case['model']}, batch {case['batch_size']}, {case['image_size']} px" + (" (*)" if case["noisy"] else "")
        for c in case["contenders"]:
            if "error" in c:
                continue
            s, ratio = c["summary"], "-"
            if "ratio" in c and not case["noisy"]:
                r = c["ratio"]
                ratio = spread((r["of_medians"], r["lowest"], r["highest"]), "{:.2f}".format)
            yield [name, c["name"], c["precision"],
                   spread((s["median_s"], s["lowest_median_s"], s["highest_median_s"]), milliseconds),
                   f"{s['images_per_second']:.2f}", work_rate(c, s), ratio, f"{s['first_step_s']:.2f}", f"{s['peak_rss_bytes'] / 1e6:.0f}",
                   str(s["rounds"])]
            name = ""


def speed(name, report):
    rule = report["rule"]
    yield f"## Speed: {name}"
    yield ""
    yield from where(report)
    yield RULE.format(runs=rule["runs"], rounds=rule["rounds"], limit=f"{rule['limit']:.0%}")
    if any(c["noisy"] for c in report["cases"]):
        yield NOISY
    for what, title in (("train", "Training"), ("infer", "Inference")):
        cases = [c for c in report["cases"] if c["what"] == what]
        if cases:
            yield f"### {title}"
            yield ""
            yield from table(["case", "by", "precision", "ms", "images/s", "GMAC/s", "ratio", "first step, s", "peak memory, MB", "rounds"],
                             speed_rows(cases), right=range(3, 10))
    failed = [(case, c) for case in report["cases"] for c in case["contenders"] if "error" in c]
    for case, c in failed:
        yield (f"No result: {case['what']} {case['model']}, batch {case['batch_size']}, {case['image_size']} px, "
               f"{c['name']} {c['precision']}: `{c['error']}`")
        yield ""


def learning(name, report):
    names = list(report["contenders"])
    yield f"## Learning: {name}"
    yield ""
    yield from where(report)
    yield LEARNING.format(start="the same ImageNet weights" if report["recipe"].get("weights") else "random weights")
    images = "; ".join(f"{split}: {d['fake']} fake and {d['real']} real images" for split, d in report["data"].items())
    yield "Recipe: " + ", ".join(f"{k} {v}" for k, v in report["recipe"].items()) + f". {images[0].upper()}{images[1:]}."
    yield ""
    by_seed = zip(*(report["contenders"][n]["runs"] for n in names))
    yield from table(["seed", *names], ([str(pair[0]["seed"]), *(f"{r['macro_f1']:.4f} ({r['highest_macro_f1']:.4f})" for r in pair)]
                                        for pair in by_seed), right=range(1, 1 + len(names)))
    kinds = (("macro_f1", "macro F1"), ("highest_macro_f1", "highest macro F1"), ("valid_loss", "lowest validation loss"),
             ("last_train_loss", "training loss of the last epoch"), ("images_per_second", "images a second"),
             ("peak_mb", "peak memory, MB"))
    sums = [report["contenders"][n]["summary"] for n in names]
    yield from table(["mean (range)", *names],
                     ([title, *(spread((s[key]["mean"], s[key]["lowest"], s[key]["highest"]), digits(key)) for s in sums)]
                      for key, title in kinds if all(key in s for s in sums)), right=range(1, 1 + len(names)))


def data(name, report):
    versions = sorted({r["version"] for r in report["rows"]})
    lines = ["", "## From files to augmented pixels", "",
             f"Images a second on one thread, from files to augmented, normalised floats of 224 px: {report['folder']}, as they are",
             f"(JPEG) and as PNG files, against {', '.join(versions)}. Medians of {len(report['rows'][0]['ratios'])} rounds in which all",
             "take turns (`benchmarks/data.py`); the ratio is libnn over the rival.", ""]
    rows = ([r["source"], r["decoder"], r["augment"], f"{r['libnn']:.0f}", f"{r['rival']:.0f}",
             f"{r['ratio']:.2f} ({min(r['ratios']):.2f} .. {max(r['ratios']):.2f})"] for r in report["rows"])
    return [*lines, *table(["files", "libnn's decoder", "pipeline", "libnn", "rival", "ratio"], rows, right=range(3, 6)), ""]


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    p.add_argument("files", nargs="*", type=pathlib.Path, metavar="FILE")
    p.add_argument("--output", default=ROOT / "docs/performance.md")
    o = p.parse_args()
    files = o.files or sorted((ROOT / "benchmarks/results").glob("*.json"))
    if not files:
        sys.exit("report: nothing has been measured: benchmarks/results has no *.json; `make bench-rivals` makes one")
    lines, reports = [HEAD, SPEED], {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in files}
    for name, report in reports.items():
        lines += {"speed": speed, "learning": learning, "data": data}[report["kind"]](name, report)
    lines.append(NOTES.read_text(encoding="utf-8"))
    text = "\n".join(lines).rstrip() + "\n"
    text = re.sub(r"\n{3,}", "\n\n", text)
    if str(o.output) == "-":
        sys.stdout.write(text)
    else:
        pathlib.Path(o.output).write_text(text, encoding="utf-8")
        CHART.write_text(chart.draw([r for r in reports.values() if r["kind"] == "speed"], CHARTED), encoding="utf-8")


main()
