#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Measures libnn against PyTorch, ONNX Runtime and OpenVINO on this machine; arguments go to compare.py. The
# frameworks are looked for where tests/parity/run.sh puts them: build/parity-venv, or the virtual environment that
# NN_PARITY_VENV names.
set -eu
cd "$(dirname "$0")/.."

unset MAKEFLAGS # always the default variant, whatever the caller builds
venv=${NN_PARITY_VENV:-build/parity-venv}
if [ ! -x "$venv/bin/python" ]; then
    "${PYTHON:-python3}" -m venv "$venv"
fi
if ! "$venv/bin/python" -c 'import torch, torchvision, timm, onnxruntime, onnxscript, openvino' 2>/dev/null; then
    "$venv/bin/python" -m pip install --quiet torch torchvision
    "$venv/bin/python" -m pip install --quiet timm numpy onnx onnxruntime onnxscript openvino
fi
"${MAKE:-make}" -s build/apps/nn_bench
exec "$venv/bin/python" benchmarks/compare.py "$@"
