# SPDX-License-Identifier: MIT
"""What the scripts of this folder share: calling nn_parity and counting PASS and FAIL."""
import pathlib
import subprocess
import sys
import tempfile

from safetensors.numpy import load_file, save_file

failed = 0


def report(ok, text):
    """Prints a PASS or FAIL line."""
    global failed
    failed += not ok
    print(("PASS " if ok else "FAIL ") + text, flush=True)


def finish():
    sys.exit(1 if failed else 0)


def distance(a, b, least=1e-300):
    """Relative L2 distance of a from b, which is right; where the norm of b is below `least`, that counts."""
    a, b = a.astype("float64").ravel(), b.astype("float64").ravel()
    return float(((a - b) @ (a - b)) ** 0.5 / max((b @ b) ** 0.5, least))


def nn_parity(build, mode, name, weights, tensors, *flags):
    """Runs the driver on dicts of numpy arrays; `weights` may be the path of a file. Returns a dict."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder)
        if isinstance(weights, dict):
            save_file(weights, path / "weights")
            weights = path / "weights"
        save_file(tensors, path / "input")
        driver = pathlib.Path(build) / "tests/parity/nn_parity"
        subprocess.run([driver, mode, name, weights, path / "input", path / "output", *flags], check=True)
        return load_file(path / "output")
