# SPDX-License-Identifier: MIT
#
# Writes optim.h beside it: what torch.optim, in float64, makes of a given sequence of gradients.
# The cases and the sequence are those of tests/optim/test_optim.c.
import math
import pathlib

import torch

STEPS, PICKED = 20, (0, 1, 15, 16, 31, 36)

CASES = {
    "sgd": (torch.optim.SGD, dict()),
    "sgd_momentum": (torch.optim.SGD, dict(momentum=0.9)),
    "sgd_dampened": (torch.optim.SGD, dict(momentum=0.8, dampening=0.3, weight_decay=0.1)),
    "sgd_nesterov": (torch.optim.SGD, dict(momentum=0.9, nesterov=True, weight_decay=0.05)),
    "adam": (torch.optim.Adam, dict()),
    "adam_decay": (torch.optim.Adam, dict(betas=(0.8, 0.95), eps=1e-2, weight_decay=0.1)),
    "adamw": (torch.optim.AdamW, dict(weight_decay=0.01)),
    "adamw_eps": (torch.optim.AdamW, dict(betas=(0.8, 0.95), eps=1e-2, weight_decay=0.5)),
    "radam": (torch.optim.RAdam, dict()),
    "radam_decay": (torch.optim.RAdam, dict(betas=(0.8, 0.95), eps=1e-2, weight_decay=0.1)),
}


def run(make, options):
    p = torch.tensor([math.cos(i) for i in range(37)], dtype=torch.float64, requires_grad=True)
    optimizer = make([p], lr=1e-2, **options)
    for t in range(1, STEPS + 1):
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 * min(t / 4, 1)
        p.grad = torch.tensor([math.sin(0.7 * t + 1.3 * i) + 0.2 * math.cos(i) for i in range(37)], dtype=torch.float64)
        optimizer.step()
    return p.detach()


with open(pathlib.Path(__file__).with_name("optim.h"), "w") as out:
    out.write("/* SPDX-License-Identifier: MIT\n *\n")
    out.write(" * Written by make_optim.py with torch %s: elements %s after %d updates. */\n"
              % (torch.__version__.split("+")[0], ", ".join(map(str, PICKED)), STEPS))
    for name, (make, options) in CASES.items():
        p = run(make, options)
        out.write("static const double golden_%s[] = { " % name)
        out.write(",\n    ".join(", ".join("%.17g" % p[i].item() for i in PICKED[k:k + 3]) for k in (0, 3)))
        out.write(" };\n")
