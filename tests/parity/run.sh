#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Compares libnn with the frameworks it claims to agree with, on this machine's CPU: runs every
# tests/parity/*.py (or those named as arguments) on the folder of the build. Each prints lines that
# begin with PASS or FAIL and exits non-zero if anything failed; so does this.
#
# The frameworks go into build/parity-venv; NN_PARITY_VENV names a virtual environment that has them.
set -eu
cd "$(dirname "$0")/../.."

unset MAKEFLAGS # always the default variants, whatever the caller builds
make=${MAKE:-make}
venv=${NN_PARITY_VENV:-build/parity-venv}
if [ ! -x "$venv/bin/python" ]; then
    "${PYTHON:-python3}" -m venv "$venv"
fi
if ! "$venv/bin/python" -c 'import torch, torchvision, timm, numpy, PIL, safetensors, sklearn, cv2' 2>/dev/null; then
    "$venv/bin/python" -m pip install --quiet torch torchvision timm numpy pillow safetensors scikit-learn opencv-python-headless
fi

"$make" -s build/libnn.a build/tests/parity/nn_parity build/tests/parity/op_parity
"$make" -s REAL=double build/double/tests/parity/nn_parity build/double/tests/parity/op_parity

if [ $# -eq 0 ]; then
    set -- tests/parity/*.py
fi
failed=0
for script; do
    case $script in
    */parity.py) continue ;; # what the others import
    esac
    echo "== $script"
    "$venv/bin/python" "$script" build || failed=1
done
exit $failed
