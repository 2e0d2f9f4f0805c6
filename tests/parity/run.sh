#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Compares libnn with the frameworks it claims to agree with, on this machine's CPU: runs every
# tests/parity/*.py (or those named as arguments) on the folder of the build. Each prints lines that
# begin with PASS or FAIL and exits non-zero if anything failed; so does this.
#
# The frameworks go into build/parity-venv; NN_PARITY_VENV names a virtual environment that has them.
# Albumentations 1.3.1 needs older packages than they do: build/augment-venv, or NN_AUGMENT_VENV.
set -eu
cd "$(dirname "$0")/../.."

unset MAKEFLAGS # always the default variants, whatever the caller builds
make=${MAKE:-make}
venv=${NN_PARITY_VENV:-build/parity-venv}
if [ ! -x "$venv/bin/python" ]; then
    "${PYTHON:-python3}" -m venv "$venv"
fi
if ! "$venv/bin/python" -c 'import torch, torchvision, timm, numpy, PIL, safetensors, sklearn, cv2, onnx, onnxruntime' 2>/dev/null; then
    "$venv/bin/python" -m pip install --quiet torch torchvision timm numpy pillow safetensors scikit-learn opencv-python-headless onnx onnxruntime
fi

augment=${NN_AUGMENT_VENV:-build/augment-venv}
if [ ! -x "$augment/bin/python" ]; then
    "${PYTHON:-python3}" -m venv "$augment"
fi
if ! "$augment/bin/python" -c 'import albumentations, cv2, numpy' 2>/dev/null; then
    "$augment/bin/python" -m pip install --quiet albumentations==1.3.1 opencv-python-headless==4.9.0.80 numpy==1.26.4 ||
        echo "SKIPPED: Albumentations 1.3.1 cannot be installed for this Python"
fi

"$make" -s build/libnn.a build/tests/parity/nn_parity build/tests/parity/op_parity
"$make" -s REAL=double build/double/tests/parity/nn_parity build/double/tests/parity/op_parity

if [ $# -eq 0 ]; then
    set -- tests/parity/*.py
fi
failed=0
for script; do
    case $script in
    */parity.py | */augment_lib.py) continue ;; # what the others import
    esac
    echo "== $script"
    python=$venv/bin/python status=0
    case $script in
    */augment.py) python=$augment/bin/python ;;
    esac
    "$python" "$script" build || status=$?
    case $status in
    0 | 77) ;; # 77: skipped, and said so
    *) failed=1 ;;
    esac
done
exit $failed
