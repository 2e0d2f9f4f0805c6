#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""nn_bench's measurement made with PyTorch: a training step or an inference with random weights.

usage: torch_bench.py train|infer [--model NAME] [--batch-size N] [--image-size N] [--mode channels_last|nchw]
                      [--compile] [--precision fp32|bf16] [--device cpu|cuda] [--threads N] [--runs N] [--warmup N] [--json FILE]

The rival is to run as fast as its users can make it: AdamW is the fused one, unless --adamw says otherwise, compiled
inference freezes its weights, and more runs warm up than libnn gets. Its images are normalised floats in memory
already, whereas libnn's step begins with bytes. What torch.compile made stays in its cache: only the first process of a
kind compiles everything.
"""
import argparse
import json
import os
import statistics
import sys
import time


def seconds_since_start():
    """Since this process began, the interpreter's own start included."""
    with open("/proc/self/stat", encoding="ascii") as f:
        ticks = int(f.read().rsplit(")", 1)[1].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def peak_bytes():
    """Of this process alone: getrusage would count what the parent had before exec."""
    with open("/proc/self/status", encoding="ascii") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM"))


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    p.add_argument("what", choices=["train", "infer"])
    p.add_argument("--model", default="efficientnet_b0")
    p.add_argument("--batch-size", type=int, default=8)
    p.add_argument("--image-size", type=int, default=224)
    p.add_argument("--mode", choices=["channels_last", "nchw"], default="channels_last")
    p.add_argument("--compile", action="store_true", help="torch.compile; compiling is part of the first step")
    p.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="bf16: autocast")
    p.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    p.add_argument("--adamw", choices=["fused", "foreach", "loop"], default="fused")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--runs", type=int, default=5, help="measured runs (5)")
    p.add_argument("--warmup", type=int, default=3, help="runs before those (3)")
    p.add_argument("--json", metavar="FILE", help="also write the result there")
    o = p.parse_args()
    if min(o.batch_size, o.image_size, o.threads, o.runs, o.warmup) < 1:
        p.error("counts and sizes are at least 1")
    return o


o = arguments()
os.environ["OMP_NUM_THREADS"] = str(o.threads)  # read when the library is loaded

import torch  # noqa: E402
from torch import nn  # noqa: E402

versions = {"torch": torch.__version__}


def build_network(name):
    """The networks that libnn has under this name, with two classes; weights are random."""
    if "lite" in name:
        import timm

        versions["timm"] = timm.__version__
        return timm.create_model("tf_" + name, num_classes=2, drop_rate=0.2, drop_path_rate=0.2)
    import torchvision

    versions["torchvision"] = torchvision.__version__
    if name == "entry_b6":
        backbone = torchvision.models.get_model("efficientnet_b6", weights=None)
        return nn.Sequential(backbone, nn.Dropout(0.5), nn.Linear(1000, 2))
    return torchvision.models.get_model(name, weights=None, num_classes=2)


def prepare():
    """Returns a function that makes one step."""
    torch.manual_seed(1)
    layout = torch.channels_last if o.mode == "channels_last" else torch.contiguous_format
    net = build_network(o.model).to(o.device, memory_format=layout).train(o.what == "train")
    image = torch.randn(o.batch_size, 3, o.image_size, o.image_size, device=o.device)
    image = image.contiguous(memory_format=layout)
    target = torch.arange(o.batch_size, device=o.device) % 2
    cast = torch.autocast(o.device, torch.bfloat16, enabled=o.precision == "bf16")
    run = net
    if o.compile:
        if o.what == "infer":
            from torch._inductor import config

            config.freezing = True
        run = torch.compile(net)

    if o.what == "infer":
        # Freezing wants no_grad; without it, inference mode spares a little more.
        quiet = torch.no_grad if o.compile else torch.inference_mode

        def infer():
            with quiet(), cast:
                return run(image)

        return infer

    kind = {"fused": {"fused": True}, "foreach": {"foreach": True}, "loop": {"foreach": False}}[o.adamw]
    optim = torch.optim.AdamW(net.parameters(), lr=1e-4, weight_decay=0.01, **kind)
    loss_of = nn.CrossEntropyLoss()

    def train():
        optim.zero_grad(set_to_none=True)
        with cast:
            loss = loss_of(run(image), target)
        loss.backward()
        optim.step()
        return loss

    return train


def main():
    on_gpu = o.device == "cuda"
    torch.set_num_threads(o.threads)
    torch.set_num_interop_threads(1)
    step = prepare()
    seconds = []
    for i in range(o.warmup + o.runs):
        start = time.perf_counter()
        out = step()
        if on_gpu:
            torch.cuda.synchronize()
        if i >= o.warmup:
            seconds.append(time.perf_counter() - start)
        if i == 0:
            first = seconds_since_start()
    if not torch.isfinite(out).all():
        sys.exit("torch_bench: the result is not finite, so its time means nothing")

    median = statistics.median(seconds)
    result = {
        "what": o.what, "model": o.model, "batch_size": o.batch_size, "image_size": o.image_size,
        "device": o.device, "isa": torch.cuda.get_device_name() if on_gpu else torch.backends.cpu.get_cpu_capability().lower(),
        "peak_device_bytes": torch.cuda.max_memory_reserved() if on_gpu else 0, "threads": torch.get_num_threads(),
        "precision": o.precision, "median_s": median, "min_s": min(seconds),
        "images_per_second": o.batch_size / median, "first_step_s": first, "peak_rss_bytes": peak_bytes(),
        "framework": "PyTorch", "framework_version": torch.__version__, "versions": versions,
        "mode": o.mode + ("_compile" if o.compile else ""), "runs": o.runs, "warmup": o.warmup,
    }
    if o.what == "train":
        result["optimizer"] = f"AdamW ({o.adamw})"
    print(f"{o.what} {o.model} batch {o.batch_size} at {o.image_size} px, PyTorch {torch.__version__} {result['mode']} "
          f"{o.precision}, {result['threads']} threads: median {median * 1e3:.1f} ms, min {min(seconds) * 1e3:.1f} ms, "
          f"{result['images_per_second']:.2f} images/s, first step after {first:.2f} s, "
          f"peak memory {result['peak_rss_bytes'] / 1e6:.0f} MB")
    if o.json:
        with open(o.json, "w", encoding="utf-8") as f:
            json.dump(result, f, indent=2)
            f.write("\n")


main()
