#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares values and gradients of single ops with PyTorch, which computes in double.

usage: op_parity.py [BUILD], which has op_parity in float, and BUILD/double in double

A case is the name of an op in the table of op_parity.c, what PyTorch calls it, tensors, and the op's options.
In double, values and gradients must agree to 1e-11: then the definitions are the same, corners, ties and
infinities included. In float they must agree as float can. So must ONNX Runtime, where it is installed, given what
nn_onnx_write makes of an op.
"""
import math
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file, save_file

from parity import finish, report

try:
    import onnxruntime
except ImportError:
    onnxruntime = None

warnings.filterwarnings("ignore", message="reduction: 'mean' divides")  # what kl_div means by "mean" is known

INF = math.inf
rng = np.random.default_rng(1)


def rand(*shape, low=-3.0, high=3.0):
    # Numbers that float holds, so that both variants get the same.
    return rng.uniform(low, high, shape).astype("float32").astype("float64")


def some(*values):
    return np.array(values, dtype="float64")


def mask(*shape):
    return rng.integers(0, 2, shape).astype("uint8")


def axis(*axes):
    """The bits of NN_AXIS."""
    return sum(1 << (a & 31) for a in axes)


MEAN, SUM, BATCHMEAN, NONE = range(4)
REDUCTION = ["mean", "sum", "batchmean", "none"]

CASES = []


def case(name, function, inputs, *options):
    CASES.append((name, function, inputs, options))


unary = rand(4, 33)
for name, function, corners in [
        ("relu", F.relu, some(0, 1, -1)),
        ("relu6", F.relu6, some(0, 6, 7, -1)),
        ("silu", F.silu, some(0, 60, -60)),
        ("sigmoid", torch.sigmoid, some(0, 60, -60)),
        ("exp", torch.exp, some(0, -80, -INF)),
        ("tanh", torch.tanh, some(0, 30, -30, INF)),
        ("hardswish", F.hardswish, some(0, 3, -3, 9, -9)),
        ("hardsigmoid", lambda x: F.relu6(x + 3) / 6, some(0, 3, -3, 9, -9)),  # F.hardsigmoid's 1/6 is a float
        ("sin", torch.sin, some(0, 1e-4, 100, -30000, 1e6)),
        ("cos", torch.cos, some(0, 1e-4, 100, -30000, 1e6)),
        ("abs", torch.abs, some(0, 1e30, -INF)),
        ("softplus", F.softplus, some(0, 20, 20.5, 60, -60)),
        ("mish", F.mish, some(0, 19.5, 21, 60, -60))]:
    case(name, function, [unary])
    case(name, function, [corners])
positive = rand(4, 33, low=0.01, high=50)
case("log", torch.log, [positive])
case("log", torch.log, [some(0, 1, INF)])
case("sqrt", torch.sqrt, [positive])
case("sqrt", torch.sqrt, [some(0, 1, 1e30)])
for approximate in ["none", "tanh"]:
    case("gelu", lambda x, a=approximate: F.gelu(x, approximate=a), [np.concatenate([unary, 3 * unary])],
         approximate == "tanh")
for alpha in [1, 0.25]:
    case("elu", lambda x, a=alpha: F.elu(x, a), [np.append(unary, [0, -60, 60])], alpha)
for exponent in [0, 1, 2, 3, 4, -1]:
    case("pow", lambda x, e=exponent: torch.pow(x, e), [np.append(unary, [1, -1] + [0] * (exponent >= 0))], exponent)
for exponent in [0.5, 2.5, -0.5, 1.25]:
    case("pow", lambda x, e=exponent: torch.pow(x, e), [rand(4, 33, low=0.01, high=9)], exponent)
case("leaky_relu", lambda x: F.leaky_relu(x, 0.125), [np.append(unary, [0])], 0.125)
case("clamp", lambda x: torch.clamp(x, -0.5, 1.5), [np.append(unary, [-0.5, 1.5])], -0.5, 1.5)
case("clamp", lambda x: torch.clamp(x, min=1), [np.append(unary, [1])], 1, INF)
case("clamp", lambda x: torch.clamp(x, max=1), [np.append(unary, [1])], -INF, 1)

for name, function in [("add", torch.add), ("sub", torch.sub), ("mul", torch.mul), ("div", torch.div)]:
    case(name, function, [rand(2, 5, 4, 7), rand(2, 5, 4, 7, low=0.5)])
    case(name, function, [rand(2, 5, 4, 7), rand(7, low=0.5)])
    case(name, function, [rand(2, 1, 1, 7), rand(5, 4, 1, low=0.5)])
case("div", torch.div, [some(1, -1, 0), some(0, 0, 4)])
choose = lambda m, a, b: torch.where(m != 0, a, b)
case("where", choose, [mask(2, 5, 4, 7), rand(2, 5, 4, 7), rand(2, 5, 4, 7)])
case("where", choose, [mask(2, 5, 4, 1), rand(7), rand(2, 1, 1, 7)])

case("softmax", lambda x: F.softmax(x, -1), [rand(3, 5, 9)])
case("log_softmax", lambda x: F.log_softmax(x, -1), [rand(3, 5, 9)])

planes = rand(3, 6, 5, 7)
ties = np.round(planes)
for axes in [(0, 1, 2, 3), (-1,), (1, 2), (0,), (0, -1)]:
    for keep in [False, True]:
        case("sum", lambda x, a=axes, k=keep: torch.sum(x, a, k), [planes], axis(*axes), keep)
        case("mean", lambda x, a=axes, k=keep: torch.mean(x, a, k), [planes], axis(*axes), keep)
        case("max", lambda x, a=axes, k=keep: torch.amax(x, a, k), [ties], axis(*axes), keep)
        case("min", lambda x, a=axes, k=keep: torch.amin(x, a, k), [ties], axis(*axes), keep)
        for c in [0, 1]:
            case("variance", lambda x, a=axes, k=keep, c=c: torch.var(x, a, correction=c, keepdim=k), [planes],
                 axis(*axes), keep, c)
case("max", lambda x: torch.amax(x, ()), [ties], 0, False)

logits, target = rand(6, 9), rand(6, 9, low=0, high=1)
near = np.where(rng.uniform(size=(6, 9)) < 0.2, logits, logits + rand(6, 9))
for r in [MEAN, SUM, NONE]:
    how = dict(reduction=REDUCTION[r])
    case("mse", lambda x, t, how=how: F.mse_loss(x, t, **how), [logits, near], r)
    case("l1", lambda x, t, how=how: F.l1_loss(x, t, **how), [logits, near], r)
    for k in [0, 0.5, 1]:
        corners = [np.append(logits, some(0.5, 1, 2)), np.append(near, some(0, 0, 3))]
        case("smooth_l1", lambda x, t, how=how, k=k: F.smooth_l1_loss(x, t, beta=k, **how), corners, r, k)
        if k > 0:
            case("huber", lambda x, t, how=how, k=k: F.huber_loss(x, t, delta=k, **how), corners, r, k)
    bce = F.binary_cross_entropy_with_logits
    case("bce_with_logits", lambda x, t, how=how: bce(x, t, **how), [10 * logits, target], r)
    for weight in [rand(9, low=0.5), rand(1, low=0.5)]:
        case("bce_with_logits", lambda x, t, w, how=how: bce(x, t, pos_weight=w.detach(), **how),
             [logits, target, weight], r)
classes = rng.integers(0, 9, (5, 6)).astype("int32")
classes[0, 2:] = -100
classes[3, 1] = 4
nothing = np.full((5, 6), -100, dtype="int32")
for smoothing in [0, 0.125]:
    for ignore in [-100, 4]:
        for of in [classes, nothing]:
            few = np.where((of == -100) & (ignore != -100), 4, of).astype("int32")
            entropy = lambda x, t, w=None, s=smoothing, i=ignore: F.cross_entropy(
                x.flatten(0, 1), t.flatten().long(), None if w is None else w.detach(), label_smoothing=s, ignore_index=i)
            case("cross_entropy", entropy, [rand(5, 6, 9), few], smoothing, 1, ignore)
            case("cross_entropy", entropy, [rand(5, 6, 9), few, rand(9, low=0.5)], smoothing, 1, ignore)
for r in [MEAN, SUM, BATCHMEAN, NONE]:
    case("kl_div", lambda x, t, r=r: F.kl_div(x, t, reduction=REDUCTION[r]), [logits, target], r)
case("kl_div", lambda x, t: F.kl_div(x, t.detach(), reduction="sum"), [some(-1, -2), some(1, 0)], SUM)


def last(function):
    """An op of PyTorch's on channels first, for channels last."""
    return lambda x, *more: function(x.permute(0, 3, 1, 2), *more).permute(0, 2, 3, 1)


for stride, pad, extra, groups, dilation in [(1, 0, 0, 1, 1), (2, 1, 1, 1, 1), (2, 1, 0, 3, 1), (3, 2, 2, 2, 2), (4, 0, 3, 1, 2)]:
    case("conv_transpose2d", last(lambda x, w, b, a=(stride, pad, extra, groups, dilation): F.conv_transpose2d(x, w, b, *a)),
         [rand(2, 5, 4, 6), rand(6, 4, 3, 4), rand(4 * groups)], stride, pad, extra, groups, dilation)
images, steps = rand(2, 9, 8, 5), np.round(rand(2, 9, 8, 5))
for k, stride, pad, ceil in [(2, 2, 0, False), (3, 2, 1, False), (3, 2, 1, True), (2, 3, 1, True), (5, 1, 2, False)]:
    case("max_pool2d", last(lambda x, a=(k, stride, pad), c=ceil: F.max_pool2d(x, *a, ceil_mode=c)), [steps],
         k, stride, pad, ceil)
    for exclude in [False, True]:
        case("avg_pool2d", last(lambda x, a=(k, stride, pad, ceil), e=exclude: F.avg_pool2d(x, *a, not e)), [images],
             k, stride, pad, ceil, exclude)
for size in [(3, 4), (4, 3), (1, 1), (13, 11)]:
    case("adaptive_avg_pool2d", last(lambda x, s=size: F.adaptive_avg_pool2d(x, s)), [images], *size)
    case("upsample", last(lambda x, s=size: F.interpolate(x, s, mode="nearest")), [images], *size)
    for corners in [False, True]:
        case("upsample", last(lambda x, s=size, c=corners: F.interpolate(x, s, mode="bilinear", align_corners=c)),
             [images], *size, 1, corners)
for order in [(0, 3, 1, 2), (3, 2, 1, 0), (2, 0, 3, 1)]:
    case("permute", lambda x, o=order: x.permute(o), [images], *order)
for a in [0, 2, -1]:
    shapes = [[4, 3, 5], [4, 3, 5], [4, 3, 5]]
    for i, shape in enumerate(shapes):
        shape[a] = i + 1
    case("concat", lambda x, y, z, a=a: torch.cat([x, y, z], a), [rand(*s) for s in shapes], a)
    case("slice", lambda x, a=a: torch.narrow(x, a, 1, 2), [rand(4, 3, 5)], a, 1, 2)
    case("gather", lambda x, i, a=a: torch.index_select(x, a, i), [rand(4, 3, 5), rng.integers(0, 3, 7)], a)
case("embedding", lambda w, i: F.embedding(i, w), [rand(9, 4), rng.integers(0, 9, (3, 8)).astype("int32")])
for ta, tb in [(0, 0), (0, 1), (1, 0), (1, 1)]:
    turn = lambda x, t: x.transpose(-1, -2) if t else x
    product = lambda a, b, ta=ta, tb=tb: torch.matmul(turn(a, ta), turn(b, tb))
    left, second = (7, 4) if ta else (4, 7), (6, 7) if tb else (7, 6)
    case("matmul", product, [rand(*left), rand(*second)], ta, tb)
    case("matmul", product, [rand(2, 3, *left), rand(2, 3, *second)], ta, tb)
    if not ta:
        case("matmul", product, [rand(2, 3, *left), rand(*second)], ta, tb)
case("layer_norm", lambda x, w, b: F.layer_norm(x, (9,), w, b, 1e-5), [rand(3, 4, 9), rand(9), rand(9)], 1e-5)
for groups in [1, 2, 6]:
    case("group_norm", last(lambda x, w, b, n=groups: F.group_norm(x, n, w, b, 1e-5)),
         [rand(3, 4, 5, 6), rand(6), rand(6)], groups, 1e-5)


def ours(driver, cases, *more):
    with tempfile.TemporaryDirectory() as folder:
        given, made = pathlib.Path(folder, "given"), pathlib.Path(folder, "made")
        save_file(cases, given)
        subprocess.run([driver, given, made, *more], check=True)
        return load_file(made)


def in_onnx_runtime(driver, cases):
    """The values of the cases that were written as ONNX."""
    with tempfile.TemporaryDirectory() as folder:
        ours(driver, cases, folder)
        values = {}
        for file in sorted(pathlib.Path(folder).glob("*.onnx")):
            session = onnxruntime.InferenceSession(str(file))
            fed = {i.name: cases[i.name].astype("float32" if i.type == "tensor(float)" else cases[i.name].dtype)
                   for i in session.get_inputs()}
            which = next(iter(fed)).rsplit("/", 1)[0]
            values[f"{which}/out"] = session.run(["out"], fed)[0].astype("float64")
        return values


def error(got, right):
    """Largest difference relative to the largest value; infinite where one is not a number or not finite alone."""
    if got.shape != right.shape:
        return INF
    same = (got == right) | (np.isnan(got) & np.isnan(right))
    if not np.isfinite(got[~same]).all() or not np.isfinite(right[~same]).all():
        return INF
    size = np.abs(right[np.isfinite(right)])
    return np.abs(np.where(same, 0, got) - np.where(same, 0, right)).max(initial=0) / max(size.max(initial=0), 1e-30)


tensors, right = {}, {}
for number, (name, function, inputs, options) in enumerate(CASES):
    which = f"{number:03}/{name}"
    args = [torch.from_numpy(x.copy()) for x in inputs]
    for x in args:
        x.requires_grad_(x.is_floating_point())
    out = function(*args)
    seed = rng.uniform(0.5, 1, tuple(out.shape)).astype("float32").astype("float64")
    out.backward(torch.from_numpy(seed.reshape(tuple(out.shape))))
    for i, x in enumerate(inputs):
        tensors[f"{which}/in.{i}"] = np.ascontiguousarray(x)
    tensors[f"{which}/seed"] = np.asarray(seed)
    tensors[f"{which}/options"] = np.array(options or [0], dtype="float64")
    right[f"{which}/out"] = out.detach().numpy()
    for i, x in enumerate(args):
        if x.grad is not None:
            right[f"{which}/grad.{i}"] = x.grad.numpy()

build = pathlib.Path((sys.argv[1:] or ["build"])[0])
for variant, driver, most in [("double", build / "double/tests/parity/op_parity", 1e-11),
                              ("float", build / "tests/parity/op_parity", 2e-6)]:
    made = ours(driver, tensors)
    for op in dict.fromkeys(name for name, *_ in CASES):
        keys = [k for k in right if k.split("/")[1] == op]
        errors = {k: error(made[k], right[k]) if k in made else INF for k in keys}
        worst = max(keys, key=errors.get)
        far = errors[worst]
        gradients = sum("grad" in k for k in keys)
        detail = "" if far <= most else f"; {worst}: {made.get(worst)} instead of {right[worst]}"
        report(far <= most, f"{op} ({variant}): {len(keys) - gradients} values and {gradients} gradients within "
                            f"{far:.1e}{detail}")
if onnxruntime:
    made = in_onnx_runtime(build / "tests/parity/op_parity", tensors)
    for op in dict.fromkeys(k.split("/")[1] for k in made):
        errors = {k: error(made[k], right[k]) for k in made if k.split("/")[1] == op}
        worst = max(errors, key=errors.get)
        detail = "" if errors[worst] <= 4e-6 else f"; {worst}: {made[worst]} instead of {right[worst]}"
        report(errors[worst] <= 4e-6, f"{op} (ONNX Runtime): {len(errors)} values within {errors[worst]:.1e}{detail}")
finish()
