#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What nn_weights writes as .onnx, in ONNX Runtime.

The model must satisfy onnx.checker with shape inference, and give for three 8-bit images, together and one by one, the
logits that nn_classify finds (up to their mean, which probabilities do not have): to 2e-5 of their norm, which is what
float32 leaves of networks with random weights, and with weights that were trained each to 1e-4.

    onnx_parity.py [BUILD] [--all] [--only NAME]

Without --all EfficientNet-B0, Lite0, ResNet18, VGG11, the published weights of Lite networks that are installed, and a
network of two classes that fakereal_train made. --all: every network that there is, at its own size.
"""
import argparse
import json
import os
import subprocess
import tempfile

import numpy as np
import onnx
import onnxruntime
import torch
import torchvision

from parity import finish, report
from weights import BILINEAR, IMAGENET, Case, centred, classify, give_weights, image_of, lukemelas_cases, make_images, pixels_of, timm_cases, torchvision_cases

RELATIVE, ABSOLUTE = 2e-5, 1e-4


def cases():
    yield from torchvision_cases()
    yield from (c for c in timm_cases() if "lite" in c.name and c.dialect == "timm-tf")
    yield from (c for c in lukemelas_cases() if c.file)
    for name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"):
        yield Case(name, "torchvision", lambda _, name=name: torchvision.models.get_model(name, weights=None), 256, 224, IMAGENET, BILINEAR, tell=False)


QUICK = ("torchvision b0", "tf_efficientnet_lite0", "resnet18", "vgg11_bn")


def convert(options, weights, model, *dialect):
    subprocess.run([os.path.join(options.build, "apps", "nn_weights"), "convert", weights, model, *dialect], check=True, capture_output=True)
    onnx.checker.check_model(model, full_check=True)


def compare(name, model, pixels, want, trained):
    session = onnxruntime.InferenceSession(model)
    logits, probabilities = session.run(["logits", "probabilities"], {"image": pixels})
    single = np.concatenate([session.run(["logits"], {"image": pixels[i:i + 1]})[0] for i in range(len(pixels))])
    off = np.stack([centred(logits) - want, centred(single) - want])
    d, most = np.linalg.norm(off, axis=(1, 2)).max() / np.linalg.norm(want), np.abs(off).max()
    sums = np.abs(probabilities.sum(axis=1) - 1).max()
    report((most <= ABSOLUTE if trained else d <= RELATIVE) and sums < 1e-5 and logits.shape == want.shape,
           f"{name}: {d:.1e} from nn_classify, largest difference of logits {most:.1e}, together and one by one")


def published(options, case, folder, images):
    """A network of a framework, with weights such that activations and logits are of a usual size."""
    torch.manual_seed(1)
    net = case.build(case.crop)
    weights, model = os.path.join(folder, "weights.pth"), os.path.join(folder, "model.onnx")
    if case.file:
        weights = case.file
    else:
        x = torch.cat([pixels_of(case, p, case.crop) for p in images]).float()
        torch.save(give_weights(net, x).state_dict(), weights)
    convert(options, weights, model, *(["--dialect", case.dialect] if case.tell else []))
    want = centred(classify(options.build, weights, case, case.crop, images))
    compare(case.name, model, np.stack([np.asarray(image_of(case, p, case.crop)) for p in images]), want, case.file)


def trained(options, folder):
    """A checkpoint of fakereal_train, judged on images that need no resizing."""
    from PIL import Image

    program = lambda name: os.path.join(options.build, "apps", name)
    data, run, model = (os.path.join(folder, n) for n in ("data", "run", "model.onnx"))
    quiet = dict(check=True, capture_output=True)
    subprocess.run([program("fakereal_synth"), "--output", data, "--count", "120", "--image-size", "64"], **quiet)
    subprocess.run([program("fakereal_train"), "--data", data, "--run-dir", run, "--model", "efficientnet_b0", "--image-size", "64",
                    "--batch-size", "16", "--lr", "0.003", "--max-steps", "12"], **quiet)
    images = sorted(os.path.join(at, f) for at, _, files in os.walk(os.path.join(data, "test")) for f in files if f.endswith((".png", ".jpg")))[:3]
    for name in ("best", "last"): # the weights alone, and beside an optimizer's moments
        file = os.path.join(run, name + ".safetensors")
        convert(options, file, model)
        text = subprocess.run([program("nn_classify"), "--weights", file, "--format", "tsv", *images], stdout=subprocess.PIPE, text=True, check=True).stdout
        p = np.zeros((len(images), 2))
        for line in text.splitlines():
            image, _, index, value, _ = line.split("\t")
            p[images.index(image), int(index)] = float(value)
        compare(f"{name}.safetensors of fakereal_train", model, np.stack([np.asarray(Image.open(i).convert("RGB")) for i in images]), centred(np.log(p)), True)
    meta = {m.key: m.value for m in onnx.load(model).metadata_props}
    record = json.loads(meta["libnn.preprocess"])
    report(record["class_names"] == ["real", "fake"] and record["size"] == 64 and float(meta["libnn.threshold"]) == 0.5, "its metadata_props")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", nargs="?", default="build")
    parser.add_argument("--all", action="store_true", help="every network")
    parser.add_argument("--only", default="", help="networks whose name contains this")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        images = make_images(folder)
        for case in cases():
            if options.only in case.name and (options.all or options.only or case.file or case.name in QUICK):
                published(options, case, folder, images)
        if options.only in "trained":
            trained(options, folder)
    finish()


if __name__ == "__main__":
    main()
