#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares networks with PyTorch in double precision, given the same weights, images and masks.

usage: model_parity.py [BUILD] [--only NAME] [--all]

Evaluation: the logits; of one network with activations in bfloat16, too, which may be as far off as PyTorch's with
autocast. Training: loss, every parameter's gradient, and the running statistics after three
batches, of the optimised plan and of the debug plan; and the losses of 20 updates, in float32 and bfloat16. Rounding
alone moves these, so the measure is PyTorch's own float32: libnn's distance from float64 may be at most twice its (or
1e-6), for each tensor and in the median. Of B0 to B7 the first layers of squeeze-and-excite, of networks with ReLU all
tensors, are a matter of luck, though: PyTorch itself is beyond twice with another layout or number of threads. For
those the larger of two runs counts, in PyTorch's layout and in libnn's (channels last); else it is the former, which is
the better one.

Without --all the networks of TRAIN, with it EfficientNet-B4 as well.
"""
import argparse

import numpy as np
import timm
import torch
import torchvision

from parity import distance, finish, nn_parity, report

EVAL_TOLERANCE, FLOOR = 2e-5, 1e-6
NARROW = "efficientnet_b0"  # whose logits are compared with activations in bfloat16, too
TRACE = 3  # how far a run's losses may be from float64, in PyTorch's own distances: both are rounding that training amplifies
TRACED = ("efficientnet_b0", 20, 8, 128)
EVAL = [("efficientnet_b0", 224), ("efficientnet_b4", 224), ("efficientnet_b4", 380), ("efficientnet_b6", 224),
        ("efficientnet_b6", 528), ("efficientnet_lite0", 224), ("resnet18", 224), ("resnet50", 192), ("vgg16_bn", 224),
        ("vgg16_bn", 160)]
TRAIN = [("efficientnet_b0", 4, 224), ("efficientnet_b6", 4, 96), ("efficientnet_lite0", 4, 64), ("resnet18", 4, 96), ("resnet50", 4, 96), ("vgg16_bn", 4, 64)]
ALSO = [("efficientnet_b4", 4, 96)] # with --all
CHAOTIC = ".fc1."
# Images on which float32 puts no value on the other side of a kink of ReLU6 than float64: that alone moves gradients by a
# thousandth, rounding by 2e-5.
CALM = {"efficientnet_lite0": 33}
DROPPING = (torch.nn.Dropout, torchvision.ops.StochasticDepth, timm.layers.DropPath)


def ours(net, name):
    """A framework's name of a tensor or of what drops -> ours, which are torchvision's."""
    if not isinstance(net, timm.models.EfficientNet):
        return name
    part = name.split(".")
    if part[0] != "blocks":
        where = {"conv_stem": "features.0.0", "bn1": "features.0.1", "conv_head": "features.8.0", "bn2": "features.8.1"}
        return ".".join([where.get(part[0], part[0]), *part[1:]])
    slot = {"conv_pw": "block.0.0", "bn1": "block.0.1", "conv_dw": "block.1.0", "bn2": "block.1.1", "conv_pwl": "block.2.0",
            "bn3": "block.2.1", "drop_path": "stochastic_depth"}
    if part[1] == "0":
        slot |= {"conv_dw": "block.0.0", "bn1": "block.0.1", "conv_pw": "block.1.0", "bn2": "block.1.1"}
    return ".".join([f"features.{int(part[1]) + 1}.{part[2]}", slot[part[3]], *part[4:]])


def build_network(name):
    """The framework's network with random weights."""
    torch.manual_seed(1)
    if "lite" in name: # dropout becomes a module, as in torchvision's networks
        net = timm.create_model("tf_" + name, bn_momentum=0.01, drop_path_rate=0.2)
        net.classifier = torch.nn.Sequential(torch.nn.Dropout(0.2), net.classifier)
    else:
        net = torchvision.models.get_model(name, weights=None)
    for m in net.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(m.weight, 0.7, 1.3)
            torch.nn.init.uniform_(m.bias, -0.3, 0.3)
    return net


def weights_for(net, name, size):
    """Its weights, by our names, after giving it running statistics near those of random images of this size: far
    from them the activations of 45 blocks grow until float32 itself is wrong."""
    torch.manual_seed(4)
    norms = [m for m in net.float().modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for m in norms:
        m.reset_running_stats()
        m.saved, m.momentum = m.momentum, None
    with torch.no_grad():
        net.train()(torch.randn(4 if size < 300 else 2, 3, size, size))
    for m in norms:
        m.momentum = m.saved
        m.running_mean += 0.02 * torch.randn_like(m.running_mean) * m.running_var.sqrt()
        m.running_var *= torch.empty_like(m.running_var).uniform_(0.9, 1.1)
        m.num_batches_tracked.zero_()
    return {ours(net, k): v.numpy().copy() for k, v in net.state_dict().items()}


def compare_eval(build, name, size, net, weights):
    image = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        want = net.double().eval()(image.double()).numpy()
        single = net.float()(image).numpy()
    given = {"image": image.permute(0, 2, 3, 1).contiguous().numpy()}
    got = nn_parity(build, "eval", name, weights, given)
    d = distance(got["logits"], want)
    report(d <= EVAL_TOLERANCE and np.std(want) > 1e-3,
           f"{name} at {size}: logits {d:.2e} from float64 (PyTorch float32 {distance(single, want):.2e})")
    if name == NARROW:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            narrow = net(image).float().numpy()
        d, allowed = distance(nn_parity(build, "eval", name, weights, given, "bf16")["logits"], want), distance(narrow, want)
        report(d <= allowed, f"{name} at {size}, bfloat16: logits {d:.2e} from float64 (PyTorch autocast {allowed:.2e})")


class Masked(torch.nn.Module):
    """Stands in for dropout and stochastic depth, and multiplies with what it is given."""

    def forward(self, x):
        return x * self.mask.to(x.dtype).reshape(self.mask.shape + (1,) * (x.dim() - self.mask.dim()))


def replace_masked(net, masks):
    """Puts Masked where libnn drew a mask."""
    for path, module in list(net.named_modules()):
        if isinstance(module, DROPPING) and f"mask.0.{ours(net, path)}" in masks:
            net.set_submodule(path, Masked())


def not_drawn(net):
    """What is left that would drop something."""
    for path, module in net.named_modules():
        if isinstance(module, DROPPING) and (module.drop_prob if isinstance(module, timm.layers.DropPath) else module.p):
            block = net.get_submodule(path.rpartition(".")[0])
            if getattr(block, "use_res_connect", getattr(block, "has_skip", True)): # else it is not reached
                yield path


def inject(net, masks, k):
    """Gives them the masks of run k."""
    for path, module in net.named_modules():
        if isinstance(module, Masked):
            module.mask = torch.from_numpy(masks[f"mask.{k}.{ours(net, path)}"])


def begin_training(net, weights, dtype):
    net.load_state_dict({k: torch.from_numpy(weights[ours(net, k)]) for k in net.state_dict()})
    net.to(dtype).train()


def run_torch(net, weights, images, target, masks, dtype):
    begin_training(net, weights, dtype)
    losses, grads = [], None
    for k, image in enumerate(images):
        inject(net, masks, k)
        net.zero_grad()
        with torch.set_grad_enabled(k == 0):
            loss = torch.nn.functional.cross_entropy(net(image.to(dtype)), target)
        losses.append(loss.item())
        if k == 0:
            loss.backward()
            grads = {ours(net, n): p.grad.double().numpy().copy() for n, p in net.named_parameters()}
    state = {ours(net, n): b.double().numpy().copy() for n, b in net.named_buffers()}
    return np.array(losses), grads, state


def compare_train(build, name, batch, size, net, weights):
    generator = torch.Generator().manual_seed(CALM.get(name, 3))
    images = [torch.randn(batch, 3, size, size, generator=generator) for _ in range(3)]
    target = torch.randint(0, 1000, (batch,), generator=generator)
    tensors = {f"image.{k}": x.permute(0, 2, 3, 1).contiguous().numpy() for k, x in enumerate(images)}
    tensors["target"] = target.numpy().astype("int32")
    plans = {"debug plan": nn_parity(build, "train", name, weights, tensors, "debug"),
             "plan": nn_parity(build, "train", name, weights, tensors)}

    masks = plans["debug plan"]
    net = net.float()
    replace_masked(net, masks)
    drawn = sum(k.startswith("mask.0.") for k in masks)
    expected = sum(isinstance(m, Masked) for m in net.modules())
    zeros = np.mean([np.mean(v == 0) for k, v in masks.items() if k.startswith("mask.")] or [0])
    left = list(not_drawn(net))
    report(drawn == expected and not left, f"{name}: {drawn} masks ({100 * zeros:.0f} % dropped) injected, {len(left)} not drawn")

    right = run_torch(net, weights, images, target, masks, torch.float64)
    single = run_torch(net, weights, images, target, masks, torch.float32)
    net = net.to(memory_format=torch.channels_last)
    other = run_torch(net, weights, [x.contiguous(memory_format=torch.channels_last) for x in images], target, masks,
                      torch.float32)
    for plan, got in plans.items():
        what = f"{name}, batch {batch} at {size}, {plan}:"
        loss = np.array([got[f"loss.{k}"] for k in range(3)])
        near, allowed = distance(loss, right[0]), max(FLOOR, 2 * distance(single[0], right[0]))
        report(near <= allowed, f"{what} losses {near:.1e} from float64 (allowed {allowed:.1e})")
        for prefix, kind, i in (("grad", "gradients", 1), ("state", "buffers", 2)):
            want = right[i]
            compare_tensors(f"{what} {len(want)} {kind}", {n: got[f"{prefix}.{n}"] for n in want}, want, single[i], other[i],
                            CHAOTIC if name.startswith("efficientnet_b") else None)


def trace_torch(net, weights, images, target, masks, rates, dtype, autocast=False):
    """The losses of as many updates by AdamW as there are rates."""
    begin_training(net, weights, dtype)
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.01)
    losses = []
    for k, rate in enumerate(rates):
        inject(net, masks, k)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            z = net(images[k].to(dtype))
        loss = torch.nn.functional.cross_entropy(z.to(dtype), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return np.array(losses)


def compare_trace(build, name, steps, batch, size, net, weights):
    """Losses of a whole run, updates included, in float32 and bfloat16."""
    generator = torch.Generator().manual_seed(5)
    few = [torch.randn(batch, 3, size, size, generator=generator) for _ in range(2)]
    images = [few[k % 2] for k in range(steps)]
    target = torch.randint(0, 1000, (batch,), generator=generator)
    rates = np.minimum(np.arange(steps) / 5, 1) * 1e-3
    tensors = {f"image.{k}": x.permute(0, 2, 3, 1).contiguous().numpy() for k, x in enumerate(images)}
    tensors |= {"target": target.numpy().astype("int32"), "rate": rates}
    masks = nn_parity(build, "train", name, weights, tensors, "debug")
    replace_masked(net, masks)
    right = trace_torch(net, weights, images, target, masks, rates, torch.float64)
    for what, flags, autocast in (("float32", (), False), ("bfloat16 (autocast)", ("bf16",), True)):
        got = nn_parity(build, "train", name, weights, tensors, *flags)
        ours = np.abs(np.array([got[f"loss.{k}"] for k in range(steps)]) - right)
        theirs = np.abs(trace_torch(net, weights, images, target, masks, rates, torch.float32, autocast) - right)
        report(ours.mean() <= TRACE * theirs.mean(),
               f"{name}, batch {batch} at {size}, {what}: {steps} updates, loss {right[0]:.2f} to {right[-1]:.2f}: on average "
               f"{ours.mean():.1e} from float64, at most {ours.max():.1e} (PyTorch {theirs.mean():.1e}, {theirs.max():.1e})")


def compare_tensors(what, got, want, single, other, chaotic):
    """`chaotic`: part of the names for which the larger of both runs counts; None: it does for all."""
    # Before a batch norm a bias has no effect: its gradient is zero, and what is computed is noise.
    least = 1e-6 * max(np.linalg.norm(x) for x in want.values())
    rows, ratios = [], []
    for n in want:
        ours, a, b = (distance(x[n], want[n], least) for x in (got, single, other))
        rows.append((ours / max(a, b if chaotic is None or chaotic in n else 0, FLOOR / 2), n, ours, a, b))
        ratios.append(ours / max(a, FLOOR / 2))
    rows.sort(reverse=True)
    report(rows[0][0] <= 2 and np.median(ratios) <= 2,
           f"{what}: median distance {np.median([r[2] for r in rows]):.1e}, {np.median(ratios):.2f} of PyTorch's, geometric mean "
           f"{np.exp(np.mean(np.log(np.maximum(ratios, 1e-3)))):.2f}; worst ratio {rows[0][0]:.2f}, {rows[0][1]}; "
           f"{sum(r > 2 for r in ratios)} tensors beyond twice the first run alone, at most {max(ratios):.2f} of it")
    for r in rows:
        if r[0] > 2:
            print("     %s: %.1e, PyTorch float32 %.1e and %.1e" % r[1:])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", nargs="?", default="build")
    parser.add_argument("--only", default="", help="networks whose name contains this")
    parser.add_argument("--all", action="store_true", help="train EfficientNet-B4, too")
    options = parser.parse_args()
    for name in dict.fromkeys(n for n, _ in EVAL):
        if options.only not in name:
            continue
        net = build_network(name)
        for other, size in EVAL:
            if other == name:
                compare_eval(options.build, name, size, net, weights_for(net, name, size))
        for other, batch, size in TRAIN + (ALSO if options.all else []):
            if other == name:
                compare_train(options.build, name, batch, size, net, weights_for(net, name, size))
    if options.only in TRACED[0]:
        name, steps, batch, size = TRACED
        net = build_network(name)
        compare_trace(options.build, name, steps, batch, size, net, weights_for(net, name, size))
    finish()


if __name__ == "__main__":
    main()
