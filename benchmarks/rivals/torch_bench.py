#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""nn_bench's measurement made with PyTorch: a training step or an inference with random weights.

usage: torch_bench.py train|infer [--model NAME] [--batch-size N] [--image-size N] [--mode channels_last|nchw]
                      [--compile] [--precision fp32|bf16] [--device cpu|cuda] [--threads N] [--runs N] [--warmup N]
                      [--json FILE]
       torch_bench.py infer --export FILE [--model NAME] [--batch-size N] [--image-size N]

The rival is to run as fast as its users can make it: AdamW is the fused one, unless --adamw says otherwise, compiled
inference freezes its weights, and more runs warm up than libnn gets. Its images are normalised floats in memory
already, whereas libnn's step begins with bytes. bf16 is autocast. What torch.compile made stays in its cache: only the first process of a
kind compiles everything.
"""
import argparse
import os
import sys

import process


def arguments():
    p = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    p.add_argument("what", choices=["train", "infer"])
    process.add_arguments(p)
    p.add_argument("--mode", choices=["channels_last", "nchw"], default="channels_last")
    p.add_argument("--compile", action="store_true", help="torch.compile; compiling is part of the first step")
    p.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    p.add_argument("--adamw", choices=["fused", "foreach", "loop"], default="fused")
    p.add_argument("--export", metavar="FILE", help="write the network there as ONNX instead of measuring it")
    return process.check(p, p.parse_args())


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


def export():
    net = build_network(o.model).eval()
    image = torch.randn(o.batch_size, 3, o.image_size, o.image_size)
    torch.onnx.export(net, (image,), o.export, dynamo=True, external_data=False, verbose=False)


def main():
    on_gpu = o.device == "cuda"
    torch.set_num_threads(o.threads)
    torch.set_num_interop_threads(1)
    out, seconds, first = process.measure(prepare(), o.warmup, o.runs, torch.cuda.synchronize if on_gpu else lambda: None)
    if not torch.isfinite(out).all():
        sys.exit("torch_bench: the result is not finite, so its time means nothing")
    more = {
        "device": o.device, "versions": versions, "threads": torch.get_num_threads(),
        "isa": torch.cuda.get_device_name() if on_gpu else torch.backends.cpu.get_cpu_capability().lower(),
        "peak_device_bytes": torch.cuda.max_memory_reserved() if on_gpu else 0,
    }
    if o.what == "train":
        more["optimizer"] = f"AdamW ({o.adamw})"
    process.report(o, seconds, first, "PyTorch", torch.__version__, o.mode + ("_compile" if o.compile else ""), **more)


if o.export:
    export()
else:
    main()
