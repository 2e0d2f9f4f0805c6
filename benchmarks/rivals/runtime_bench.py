#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""nn_bench's inference made with ONNX Runtime or OpenVINO, on networks that PyTorch exports with random weights.

usage: runtime_bench.py infer --mode onnxruntime|openvino [--model NAME] [--batch-size N] [--image-size N]
                        [--precision fp32|bf16] [--threads N] [--runs N] [--warmup N] [--json FILE] [--models DIR]

The exported network is kept in --models (build/rivals), so only the first process of a kind needs PyTorch; its time is
not counted. Shapes are fixed, and each runtime may do to the network what it does by default: fold batch norms, choose
layouts. bf16 is OpenVINO's alone.
"""
import argparse
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import process

FOLDER = pathlib.Path(__file__).resolve().parent


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    p.add_argument("what", choices=["infer"])
    p.add_argument("--mode", choices=["onnxruntime", "openvino"], default="onnxruntime")
    p.add_argument("--models", type=pathlib.Path, default=FOLDER.parent.parent / "build/rivals")
    process.add_arguments(p)
    o = process.check(p, p.parse_args())
    if o.mode == "onnxruntime" and o.precision == "bf16":
        p.error("ONNX Runtime has no bfloat16 on this kind of processor")
    return o


def exported(o):
    """The network's file, and the seconds that making it took."""
    file = o.models / f"{o.model}-{o.batch_size}-{o.image_size}.onnx"
    start = time.perf_counter()
    if not file.exists():
        o.models.mkdir(parents=True, exist_ok=True)
        new = file.with_suffix(f".{os.getpid()}.new")
        subprocess.run([sys.executable, FOLDER / "torch_bench.py", "infer", "--model", o.model, "--batch-size", str(o.batch_size),
                        "--image-size", str(o.image_size), "--threads", str(o.threads), "--export", new],
                       check=True, stdout=subprocess.DEVNULL)
        new.replace(file)
    return str(file), time.perf_counter() - start


def onnxruntime(o, file, image):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = o.threads, 1
    session = ort.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: image}
    return (lambda: session.run(None, feed)[0]), "ONNX Runtime", ort.__version__


def openvino(o, file, image):
    import openvino as ov

    network = ov.Core().compile_model(file, "CPU", {
        "INFERENCE_NUM_THREADS": o.threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[o.precision]})
    request = network.create_infer_request()
    return (lambda: request.infer({0: image}, share_inputs=True, share_outputs=True)[0]), "OpenVINO", ov.__version__.split("-")[0]


def main():
    o = arguments()
    image = np.random.default_rng(1).standard_normal((o.batch_size, 3, o.image_size, o.image_size), dtype=np.float32)
    file, spent = exported(o)
    step, framework, version = {"onnxruntime": onnxruntime, "openvino": openvino}[o.mode](o, file, image)
    out, seconds, first = process.measure(step, o.warmup, o.runs)
    if not np.isfinite(out).all():
        sys.exit("runtime_bench: the result is not finite, so its time means nothing")
    process.report(o, seconds, first - spent, framework, version, o.mode, versions={o.mode: version})


main()
