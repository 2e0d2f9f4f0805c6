#!/bin/sh
# SPDX-License-Identifier: MIT
#
# From a bare machine to green tests with one command and without surprises: what is missing is
# installed with apt-get where that is allowed, and named where it is not. Needs neither git nor Python.
#
#   sh bootstrap.sh check        install what is missing, build, run every test
#   sh bootstrap.sh build        install what is missing, build the library and the programs
#   sh bootstrap.sh deps [ci]    only install; ci: also what .ci/run uses besides
#   sh bootstrap.sh help
#
# Exit codes: 0 done, 1 a test failed, 2 usage, 5 something is missing and could not be installed.
set -eu
cd "$(dirname "$0")"

say() { printf '%s\n' "bootstrap: $*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

usage() {
    sed -n '6,11s/^# \{0,1\}//p' "$0"
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

case ${1-help} in
check)
    deps
    make -j"$(jobs)" check || exit 1
    ;;
build)
    deps
    make -j"$(jobs)" || exit 1
    ;;
deps) deps "${2-}" ;;
help | -h | --help) usage ;;
*)
    say "no such command: $1"
    usage >&2
    exit 2
    ;;
esac
