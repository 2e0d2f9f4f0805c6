#!/bin/sh
# SPDX-License-Identifier: MIT
#
# run.sh check [SECONDS]   is the CUDA backend right on this machine?
# run.sh bench [SECONDS]   how fast is it, and how fast is PyTorch?
#
# See README.md. Nothing new is begun after SECONDS (540). Logs go to results/WHAT-TIME/.
set -u
cd "$(dirname "$0")" || exit 4
gunzip -kf lib/*.gz || exit 4

what=${1-}
limit=${2:-540}
case $what in
check | bench) ;;
*)
    echo "usage: run.sh check|bench [SECONDS]" >&2
    exit 2
    ;;
esac
out=results/$what-$(date +%Y%m%d-%H%M%S)
mkdir -p "$out" || exit 4
start=$(date +%s)
failed=0

# cuBLASLt of the toolkit, or of the packages that PyTorch brings.
python=${PYTHON:-python3}
libraries=$PWD/lib:${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}/usr/local/cuda/lib64
for folder in $("$python" -c 'import site; print("\n".join(site.getsitepackages()))' 2>/dev/null); do
    for library in "$folder"/nvidia/*/lib; do
        [ -d "$library" ] && libraries=$libraries:$library
    done
done
elapsed() { echo $(($(date +%s) - start)); }

# step NAME SECONDS COMMAND...: one line, and a log.
step() {
    name=$1 most=$2 before=$(elapsed) word=passed status=0
    shift 2
    [ "$most" -lt $((limit + 50 - before)) ] || most=$((limit + 50 - before))
    case $1 in
    "$python") path=${LD_LIBRARY_PATH-} ;; # it has its own libraries
    *) path=$libraries ;;
    esac
    if [ "$before" -ge "$limit" ]; then
        word="not run: no time left"
        status=124
    else
        LD_LIBRARY_PATH=$path timeout -k 5 "$most" "$@" >"$out/$name.log" 2>&1 </dev/null || status=$?
        case $status in
        0) ;;
        124 | 137) word="FAILED: not done after $most s" ;;
        *) word="FAILED with $status, see $out/$name.log" ;;
        esac
    fi
    [ "$status" -eq 0 ] || failed=1
    printf '%-28s %4d s  %s\n' "$name" $(($(elapsed) - before)) "$word" | tee -a "$out/summary"
    return "$status"
}

# Without a GPU there is nothing to do: exit code 5 and the reason.
LD_LIBRARY_PATH=$libraries bin/nn_bench infer --model efficientnet_b0 --image-size 32 --batch-size 1 --runs 1 \
    --device cuda >"$out/device.log" 2>&1 || {
    status=$?
    cat "$out/device.log" >&2
    exit "$status"
}
{
    cat version
    uname -srm
    nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.sm,power.limit --format=csv 2>/dev/null
} | tee "$out/machine"

# ------------------------------------------------------------------------ check

b0="--model efficientnet_b0 --image-size 64 --batch-size 8 --device cuda"
# shellcheck disable=SC2086 # words of options
sanitize() {
    tool=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
    if [ "$tool" ]; then
        for kind in memcheck racecheck; do # the tests fork, which it would not follow
            step "$kind-ops" 150 env CK_FORK=no "$tool" --tool "$kind" --error-exitcode 1 bin/test_ops --errors
        done
    fi
    for kind in memcheck racecheck initcheck synccheck; do
        if [ -z "$tool" ]; then
            printf '%-28s %4d s  %s\n' "$kind" 0 "skipped: no compute-sanitizer" | tee -a "$out/summary"
            continue
        fi
        for precision in fp32 bf16; do
            step "$kind-$precision" 100 "$tool" --tool "$kind" --error-exitcode 1 bin/nn_bench train $b0 \
                --runs 1 --precision "$precision"
        done
    done
}

# EfficientNet-B6 in training, with the same dropout everywhere: the loss of two batches against the CPU's.
b6() {
    for run in cpu-fp32 cuda-fp32 cuda-bf16; do
        step "b6-$run" 100 bin/fakereal_train --data "$out/faces" --model efficientnet_b6 --image-size 224 \
            --batch-size 8 --max-steps 2 --device "${run%-*}" --precision "${run#*-}" --run-dir "$out/run-b6-$run" ||
            return
        cut -d, -f1,3 "$out/run-b6-$run/metrics.csv" >"$out/b6-$run.csv"
    done
    step b6-loss-fp32 10 ./differences.sh "$out/b6-cpu-fp32.csv" "$out/b6-cuda-fp32.csv" 1e-4
    step b6-loss-bf16 10 ./differences.sh "$out/b6-cpu-fp32.csv" "$out/b6-cuda-bf16.csv" 3e-2
}

# shellcheck disable=SC2086
check() {
    step ops 240 bin/test_ops # each op: outputs and gradients against the CPU, the same bits again
    step ops-errors 100 bin/test_ops --errors
    step network 240 bin/test_train # gradients, ten steps, optimizers, repeats, resuming
    step pictures 60 bin/fakereal_synth --output "$out/faces" --count 64 --image-size 64
    for precision in fp32 bf16; do
        step "train-$precision" 60 bin/fakereal_train --data "$out/faces" $b0 --precision "$precision" \
            --max-steps 10 --run-dir "$out/run-$precision"
        step "again-$precision" 60 bin/fakereal_train --data "$out/faces" $b0 --precision "$precision" \
            --max-steps 10 --run-dir "$out/again-$precision"
        step "same-bytes-$precision" 10 cmp "$out/run-$precision/last.safetensors" \
            "$out/again-$precision/last.safetensors"
    done
    b6
    sanitize
}

# ------------------------------------------------------------------------ bench

# A number of a JSON file that we wrote.
number() { sed -n "s/.*\"$1\": *\([-0-9.e+]*\).*/\1/p" "$2" | head -n 1; }

# row WHO WHAT BATCH PRECISION COMMAND...
row() {
    who=$1 part=$2 batch=$3 precision=$4
    json=$out/$part-$batch-$precision-$who.json
    shift 4
    if step "$part-$batch-$precision-$who" 150 "$@" "$part" --model efficientnet_b6 --image-size 224 \
        --batch-size "$batch" --precision "$precision" --device cuda --runs 20 --json "$json" >/dev/null &&
        [ -s "$json" ]; then
        awk -v w="$who" -v a="$part" -v b="$batch" -v p="$precision" -v m="$(number median_s "$json")" \
            -v f="$(number first_step_s "$json")" -v d="$(number peak_device_bytes "$json")" \
            -v l="$(number median_s "$out/$part-$batch-$precision-libnn.json" 2>/dev/null)" 'BEGIN {
                printf "%-6s %5d  %-5s %-8s %9.2f %10.1f %12.2f %9.0f %6s\n", a, b, p, w, m * 1e3, b / m, f, d / 1e6,
                    l > 0 ? sprintf("%.2f", m / l) : "-" }' |
            tee -a "$out/table"
    else
        tail -n 1 "$out/summary" | tee -a "$out/table"
    fi
}

# Each case by everybody before the next, so that a short time still compares; what compiles comes last.
bench() {
    printf '%-6s %5s  %-5s %-8s %9s %10s %12s %9s %6s\n' what batch type who ms images/s "first step s" "GPU MB" \
        "x libnn" |
        tee "$out/table"
    torch=
    "$python" -c 'import torch, torchvision; assert torch.cuda.is_available()' 2>/dev/null && torch=yes
    [ "$torch" ] || echo "no $python with PyTorch, torchvision and this GPU: libnn alone (PYTHON=... names another)"
    cases="train:128:bf16 train:32:bf16 train:8:bf16 infer:128:bf16 infer:1:bf16 train:128:fp32"
    for each in $cases; do
        IFS=: read -r part batch precision <<EOF
$each
EOF
        row libnn "$part" "$batch" "$precision" bin/nn_bench
        [ "$torch" ] && row torch "$part" "$batch" "$precision" "$python" torch_bench.py
    done
    step profile 60 bin/nn_bench train --model efficientnet_b6 --batch-size 128 --precision bf16 --device cuda --profile
    [ "$torch" ] || return
    for each in $cases; do
        IFS=: read -r part batch precision <<EOF
$each
EOF
        row compile "$part" "$batch" "$precision" "$python" torch_bench.py --compile
    done
}

if [ "$what" = check ]; then
    check
else
    bench
fi
tar -czf "$out.tar.gz" --exclude='run-*' --exclude='again-*' --exclude=faces "$out"
echo "$(elapsed) s, logs in $out, to keep in $out.tar.gz"
exit "$failed"
