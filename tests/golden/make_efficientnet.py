# SPDX-License-Identifier: MIT
#
# Writes efficientnet_b6.names (name and shape of every entry of torchvision's state dict, in its
# order) and efficientnet.h (parameters and entries of every network) beside it.
import pathlib

import timm
import torchvision

here = pathlib.Path(__file__).parent
rows = []
for i in range(8):
    m = torchvision.models.get_model("efficientnet_b%d" % i, weights=None)
    rows.append(("efficientnet_b%d" % i, m))
    if i == 6:
        with open(here / "efficientnet_b6.names", "w") as out:
            for name, value in m.state_dict().items():
                out.write("%s [%s]\n" % (name, ",".join(map(str, value.shape))))
for i in range(5):
    rows.append(("efficientnet_lite%d" % i, timm.create_model("tf_efficientnet_lite%d" % i)))
with open(here / "efficientnet.h", "w") as out:
    out.write("/* SPDX-License-Identifier: MIT\n *\n")
    out.write(" * Written by make_efficientnet.py with torchvision %s and timm %s (Lite). */\n"
              % (torchvision.__version__.split("+")[0], timm.__version__))
    out.write("static const struct {\n    const char *name;\n    long long parameters, entries;\n} golden_networks[] = {\n")
    for name, m in rows:
        out.write('    { "%s", %d, %d },\n' % (name, sum(p.numel() for p in m.parameters()), len(m.state_dict())))
    out.write("};\n")
