# SPDX-License-Identifier: MIT
#
# Writes networks.h beside it: of each network of torchvision that libnn has besides EfficientNet the number
# of parameters and of state dict entries, and a hash (FNV-1a) of the lines "name [shape]" of its state dict.
import pathlib

import torchvision

NAMES = ["resnet%d" % n for n in (18, 34, 50, 101, 152)] + ["vgg%d_bn" % n for n in (11, 13, 16, 19)]
with open(pathlib.Path(__file__).parent / "networks.h", "w") as out:
    out.write("/* SPDX-License-Identifier: MIT\n *\n * Written by make_networks.py with torchvision %s. */\n"
              % torchvision.__version__.split("+")[0])
    out.write("static const struct {\n    const char *name;\n    long long parameters, entries;\n"
              "    unsigned long long hash;\n} golden_networks[] = {\n")
    for name in NAMES:
        m = torchvision.models.get_model(name, weights=None)
        h = 0xcbf29ce484222325
        for key, value in m.state_dict().items():
            for byte in ("%s [%s]\n" % (key, ",".join(map(str, value.shape)))).encode():
                h = (h ^ byte) * 0x100000001b3 % 2**64
        out.write('    { "%s", %d, %d, 0x%016xu },\n'
                  % (name, sum(p.numel() for p in m.parameters()), len(m.state_dict()), h))
    out.write("};\n")
