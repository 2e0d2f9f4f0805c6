# SPDX-License-Identifier: MIT
"""What augment.py and windows.py share, which run in different environments: transforms called from Python."""
import ctypes as ct
import glob
import os
import subprocess
import sys
import tempfile

import numpy as np

DRAWN = 64


def load(build):
    objects = []
    for room in ("vision", "vision/simd", "base"):
        objects += glob.glob(os.path.join(build, "obj/libnn/src", room, "*.o"))
    if not objects:
        sys.exit(f"{build}: no objects below obj/libnn/src; run make first")
    folder = tempfile.TemporaryDirectory()
    path = os.path.join(folder.name, "augment.so")
    shim = os.path.join(os.path.dirname(os.path.abspath(__file__)), "augment_shim.c")
    subprocess.run([os.environ.get("CC", "cc"), "-std=c11", "-D_GNU_SOURCE", "-shared", "-fPIC", "-Ilibnn/include",
                    "-Ilibnn/src", shim, "-o", path, *objects, "-ljansson", "-lz", "-lm", "-pthread"], check=True)
    lib = ct.CDLL(path)
    lib.folder = folder
    return lib


def draws_of(lib, text, width, height, count):
    """Parameters [count, DRAWN] that the step `text` draws for a picture of that size."""
    out = np.zeros((count, DRAWN))
    lib.shim_draw(text.encode(), ct.c_int64(width), ct.c_int64(height), ct.c_uint64(5), ct.c_int64(count),
                  out.ctypes.data_as(ct.c_void_p))
    return out
