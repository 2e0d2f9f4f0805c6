#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares 200 updates of a small network with torch.optim, both in double precision.

usage: optim_parity.py [BUILD], where BUILD/double is the variant REAL=double

The rate warms up over 50 updates, so update 0 must leave the weights as they are. Everything is compared
after each update: rates to the last bit, parameters to 1e-9.
"""
import sys

import numpy as np
import torch
from torchvision.ops import SqueezeExcitation

from parity import finish, nn_parity, report

STEPS, WARMUP, RATE, TOLERANCE = 200, 50, 1e-2, 1e-9
ADAM = dict(betas=(0.9, 0.999), eps=1e-8)
CASES = [("sgd", torch.optim.SGD, dict(momentum=0, dampening=0, weight_decay=0, nesterov=False)),
         ("sgd", torch.optim.SGD, dict(momentum=0.9, dampening=0.1, weight_decay=0.01, nesterov=False)),
         ("sgd", torch.optim.SGD, dict(momentum=0.9, dampening=0, weight_decay=0.01, nesterov=True)),
         ("adam", torch.optim.Adam, dict(ADAM, weight_decay=0)),
         ("adam", torch.optim.Adam, dict(ADAM, weight_decay=0.01)),
         ("adamw", torch.optim.AdamW, dict(ADAM, weight_decay=0.01)),
         ("radam", torch.optim.RAdam, dict(ADAM, weight_decay=0)),
         ("radam", torch.optim.RAdam, dict(ADAM, weight_decay=0.01))]


class Small(torch.nn.Module):
    """The network of nn_parity.c."""

    def __init__(self):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=False)
        self.norm1 = torch.nn.BatchNorm2d(6)
        self.se = SqueezeExcitation(6, 2, activation=torch.nn.SiLU)
        self.conv2 = torch.nn.Conv2d(6, 8, 1, bias=False)
        self.norm2 = torch.nn.BatchNorm2d(8)
        self.linear = torch.nn.Linear(8, 3)

    def forward(self, x):
        silu = torch.nn.functional.silu
        x = self.se(silu(self.norm1(self.conv1(x))))
        return self.linear(silu(self.norm2(self.conv2(x))).mean((2, 3)))


def compare(build, name, make, options):
    torch.manual_seed(5)
    net = Small().double()
    image, target = torch.randn(8, 3, 17, 16, dtype=torch.float64), torch.randint(0, 3, (8,))
    weights = {k: v.numpy().copy() for k, v in net.state_dict().items()}
    first = options.get("betas", (options.get("momentum"), options.get("dampening")))
    last = options["eps"] if "eps" in options else options["nesterov"]
    numbers = [STEPS, WARMUP, RATE, *first, options["weight_decay"], last]
    got = nn_parity(build, "optim", name, weights,
                    {"image": image.permute(0, 2, 3, 1).contiguous().numpy(), "target": target.numpy().astype("int32"),
                     "options": np.array(numbers, dtype="float64")})

    optimizer = make(net.parameters(), lr=RATE, **options)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: min(k / WARMUP, 1))
    rates, params = [], []
    for _ in range(STEPS):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(image), target).backward()
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
        params.append(torch.cat([p.detach().ravel() for p in net.parameters()]).numpy().copy())
    params = np.array(params)
    start = np.concatenate([weights[n].ravel() for n, _ in net.named_parameters()])
    text = name + " " + ", ".join(f"{k} {v}" for k, v in options.items())
    far = float(np.abs(got["params"] - params).max())
    report(far <= TOLERANCE, f"{text}: parameters {far:.1e} from float64 in {STEPS} updates, "
                             f"which moved them by {np.abs(params[-1] - start).max():.2f}")
    report(np.array_equal(got["rate"], rates) and np.array_equal(got["params"][0], start),
           f"{text}: warm-up of {WARMUP} updates equal, update 0 changes nothing")


build = (sys.argv[1:] or ["build"])[0]
for case in CASES:
    compare(build + "/double", *case)
finish()
