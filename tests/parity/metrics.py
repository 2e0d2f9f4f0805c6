#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares nn_metrics_binary with scikit-learn on random cases: many ties, classes that are absent or never
predicted, thresholds on and between values, confident logits.

usage: metrics.py BUILD [--cases N] [--seed N]

BUILD is the folder of a built variant (build, build/clang, ...): its position-independent objects are linked into a
temporary shared library and called through ctypes. Prints one PASS or FAIL line per metric with the largest
difference found, and exits 1 when there was a FAIL.
"""
import argparse
import ctypes as ct
import glob
import math
import os
import subprocess
import sys
import tempfile
import warnings

import numpy as np
from sklearn import metrics as sk

TOLERANCE = 1e-12


class ClassMetrics(ct.Structure):
    _fields_ = [("precision", ct.c_double), ("recall", ct.c_double), ("f1", ct.c_double), ("support", ct.c_int64)]


class Metrics(ct.Structure):
    _fields_ = [
        ("samples", ct.c_int64),
        ("confusion", ct.c_int64 * 2 * 2),
        ("accuracy", ct.c_double),
        ("balanced_accuracy", ct.c_double),
        ("macro_f1", ct.c_double),
        ("auc", ct.c_double),
        ("loss", ct.c_double),
        ("threshold", ct.c_double),
        ("per_class", ClassMetrics * 2),
    ]


def load(build, folder):
    objects = glob.glob(os.path.join(build, "obj/libnn/src/base/*.o"))
    objects.append(os.path.join(build, "obj/libnn/src/data/metrics.o"))
    path = os.path.join(folder, "metrics.so")
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-o", path, *objects, "-lm", "-pthread"], check=True)
    return ct.CDLL(path)


def ours(lib, logits, labels, threshold):
    out = Metrics()
    rc = lib.nn_metrics_binary(ct.byref(out), logits.ctypes.data_as(ct.c_void_p), labels.ctypes.data_as(ct.c_void_p),
                               ct.c_int64(len(labels)), ct.c_double(threshold))
    if rc:
        raise RuntimeError(f"nn_metrics_binary: {rc}")
    values = {name: getattr(out, name) for name in ("accuracy", "balanced_accuracy", "macro_f1", "auc", "loss")}
    values["confusion"] = [list(row) for row in out.confusion]
    for label, name in enumerate(("real", "fake")):
        for field in ("precision", "recall", "f1", "support"):
            values[f"{name} {field}"] = getattr(out.per_class[label], field)
    return values


def theirs(logits, labels, threshold):
    margin = logits[:, 1] - logits[:, 0]
    probability = np.exp(-np.logaddexp(0, -margin))
    predicted = (probability >= threshold).astype(int)
    both = [0, 1]
    precision, recall, f1, support = sk.precision_recall_fscore_support(labels, predicted, labels=both, zero_division=0)
    values = {
        "accuracy": sk.accuracy_score(labels, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
        "macro_f1": sk.f1_score(labels, predicted, labels=both, average="macro", zero_division=0),
        "auc": sk.roc_auc_score(labels, margin) if len(set(labels)) == 2 else math.nan,
        "confusion": sk.confusion_matrix(labels, predicted, labels=both).tolist(),
    }
    # log_loss clips at the resolution of the probabilities, so both columns are given as computed from the
    # margin; the cases stay below |margin| = 30, where neither rounds to 0.
    columns = np.stack([np.exp(-np.logaddexp(0, margin)), probability], axis=1)
    values["loss"] = sk.log_loss(labels, columns, labels=both)
    for label, name in enumerate(("real", "fake")):
        values[f"{name} precision"] = precision[label]
        values[f"{name} recall"] = recall[label]
        values[f"{name} f1"] = f1[label]
        values[f"{name} support"] = int(support[label])
    return values


def case(random, i):
    n = int(random.integers(1, 200))
    labels = (random.random(n) < (0, 1, 0.5, 0.02, 0.9)[i % 5]).astype(np.int32)
    kind = i % 4
    if kind == 0:  # few values: many ties, and probabilities equal to the threshold
        logits = random.integers(-2, 3, (n, 2)).astype(np.float64)
    elif kind == 1:  # float32 logits of a network
        logits = random.normal(0, 3, (n, 2)).astype(np.float32).astype(np.float64)
        logits[:, 1] += labels
    elif kind == 2:  # one class is never predicted
        logits = np.stack([np.zeros(n), random.normal(9 if i % 8 == 2 else -9, 1, n)], axis=1)
    else:
        logits = random.uniform(-14, 14, (n, 2))
    threshold = 0.5 if i % 3 else float(random.random())
    return np.ascontiguousarray(logits), labels, threshold


def difference(a, b):
    if isinstance(a, list):
        return 0.0 if a == b else math.inf
    if math.isnan(a) or math.isnan(b):
        return 0.0 if math.isnan(a) and math.isnan(b) else math.inf
    return abs(a - b) / max(1.0, abs(b))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true")
    warnings.filterwarnings("ignore", message="A single label was found")
    random = np.random.default_rng(args.seed)
    worst = {}
    absent = ties = 0
    with tempfile.TemporaryDirectory() as folder:
        lib = load(args.build, folder)
        for i in range(args.cases):
            logits, labels, threshold = case(random, i)
            absent += len(set(labels)) < 2
            ties += len(np.unique(logits[:, 1] - logits[:, 0])) < len(labels)
            a, b = ours(lib, logits, labels, threshold), theirs(logits, labels, threshold)
            for name in b:
                worst[name] = max(worst.get(name, 0.0), difference(a[name], b[name]))
    for name, value in worst.items():
        print(f"{'PASS' if value <= TOLERANCE else 'FAIL'} metrics {name}: largest difference {value:.3g} "
              f"in {args.cases} cases ({absent} of one class, {ties} with ties)")
    sys.exit(any(value > TOLERANCE for value in worst.values()))


if __name__ == "__main__":
    main()
