#!/bin/sh
# SPDX-License-Identifier: MIT
#
# tests/gpu/bundle.sh BUILD FOLDER: puts what tests and measures the CUDA backend on a machine with a GPU into one
# folder: the programs of BUILD without what only a debugger reads, the libraries that they need, the scripts.
# A machine of that kind is rarely the one where things are built, and has neither compiler nor packages.
set -eu

build=$1
to=$2
most=$((60 * 1024)) # KiB

rm -rf "$to"
mkdir -p "$to/bin" "$to/lib"
for program in apps/nn_bench apps/fakereal_synth apps/fakereal_train tests/cuda/test_ops tests/cuda/test_train; do
    strip -o "$to/bin/${program##*/}" "$build/$program"
done
# Not those that come with every system, and must be of one piece with its loader.
ldd "$to"/bin/* | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
    grep -vE '/(libc|libm|libdl|librt|libpthread|libresolv)\.so\.' |
    while read -r library; do
        cp -L "$library" "$to/lib/"
    done
gzip -9 "$to"/lib/* # run.sh unpacks them; OpenBLAS alone has 35 MiB
cp tests/gpu/run.sh tests/gpu/differences.sh benchmarks/rivals/torch_bench.py benchmarks/rivals/process.py "$to/"
cp tests/gpu/bundle.md "$to/README.md"
"$build/apps/nn_bench" --version | head -n 1 >"$to/version"

size=$(du -sk "$to" | cut -f1)
echo "$to: $size KiB"
if [ "$size" -gt "$most" ]; then
    echo "bundle.sh: more than $most KiB" >&2
    exit 1
fi
