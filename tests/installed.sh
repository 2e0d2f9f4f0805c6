#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What a user gets: installs into a folder of its own, looks at what arrived there, and builds and runs the
# examples against it, as a user would, through pkg-config and through CMake. Nothing of the source tree but
# examples/ is used after the installation.
#
#   tests/installed.sh FOLDER      (make installcheck)
set -eu
export LC_ALL=C # what sort and comm agree on
cd "$(dirname "$0")/.."
at=$1
make=${MAKE:-make}
cc=${CC:-cc}

say() { printf 'ok       %s\n' "$*"; }
fail() {
    printf 'FAILED   %s\n' "$*"
    exit 1
}

rm -rf "$at"
mkdir -p "$at"

# ---- what is installed, and where
$make --no-print-directory PREFIX=/opt/nn DESTDIR="$at/staged" install >/dev/null
(cd "$at/staged" && find . -type f ! -path './opt/nn/*') | grep . && fail "DESTDIR: files outside of PREFIX"
grep -rl "$at" "$at/staged" --include='*.pc' --include='*.cmake' && fail "DESTDIR got into a description"
grep -q '^prefix=/opt/nn$' "$at/staged/opt/nn/lib/pkgconfig/libnn.pc" || fail "libnn.pc: prefix"
$make --no-print-directory PREFIX=/opt/nn DESTDIR="$at/staged" uninstall >/dev/null
find "$at/staged" ! -type d | grep . && fail "uninstall left these behind"
say "DESTDIR, uninstall"

prefix=$at/prefix
$make --no-print-directory PREFIX="$prefix" DESTDIR= install >/dev/null
lib=$prefix/lib

# ---- names: programs may use every name that does not begin with nn_
nm -D --defined-only "$lib/libnn.so" | awk '{ print $3 }' | grep -v '^nn_' && fail "libnn.so exports these"
nm -g --defined-only "$lib/libnn.a" 2>/dev/null | awk 'NF == 3 { print $3 }' | grep -v '^nni\{0,1\}_' &&
    fail "libnn.a defines these"
sed -n 's/.*NN_API.*[ *]\(nn_[a-z0-9_]*\)(.*/\1/p' "$prefix"/include/nn/*.h "$prefix"/include/nn/models/*.h | sort -u \
    >"$at/declared"
nm -D --defined-only "$lib/libnn.so" | awk '{ print $3 }' | sort -u >"$at/defined"
comm -23 "$at/declared" "$at/defined" | grep . && fail "libnn.so lacks these, which a header declares"
soname=$(readelf -d "$lib/libnn.so" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
[ -e "$lib/$soname" ] || fail "soname: there is no $soname"
say "$soname: $(wc -l <"$at/defined") names exported, all begin with nn_"

# ---- what docs/embedding.md quotes is what the examples say
# shellcheck disable=SC2016 # no command, the fence of a code block
sed -n '/^ *```c$/,/^ *```$/{/^ *```/d;s/^ *//;p}' docs/embedding.md | while IFS= read -r line; do
    grep -qrF -e "$line" examples || fail "docs/embedding.md quotes what no example says: $line"
done
say "docs/embedding.md quotes the examples"

# ---- programs
export PKG_CONFIG_PATH="$lib/pkgconfig" LD_LIBRARY_PATH="$lib"
[ "$(pkg-config --modversion libnn)" = "$("$prefix/bin/nn_bench" --version | awk 'NR == 1 { print $NF }')" ] ||
    fail "version"
$make --no-print-directory -C examples CC="$cc" B="$at/examples" check || fail "examples, pkg-config"
say "examples with pkg-config and the shared library"

# shellcheck disable=SC2046 # lists of options
$cc -std=c11 examples/own_loss.c $(pkg-config --cflags libnn) "$lib/libnn.a" \
    $(pkg-config --static --libs libnn | sed 's/-lnn //') -lm -o "$at/static"
env -u LD_LIBRARY_PATH "$at/static" || fail "the static library"
say "the static library"

printf '#include <nn/nn.h>\n#include <nn/models/efficientnet.h>\nint main() { return !nn_efficientnet_at(0); }\n' >"$at/use.cpp"
# shellcheck disable=SC2046
"${CXX:-c++}" -std=c++17 "$at/use.cpp" $(pkg-config --cflags --libs libnn) -o "$at/use"
"$at/use" || fail "C++"
say "C++"

# ---- beside it, the library in double
$make --no-print-directory REAL=double PREFIX="$prefix" DESTDIR= install >/dev/null
$make --no-print-directory -C examples CC="$cc" REAL=double B="$at/double" "$at/double/own_op" >/dev/null
"$at/double/own_op" || fail "libnn-double"
say "libnn-double"

if ! command -v cmake >/dev/null; then
    printf 'SKIPPED  CMake is not installed\n'
    exit 0
fi
(cmake -S examples -B "$at/cmake" -DCMAKE_PREFIX_PATH="$prefix" && cmake --build "$at/cmake" &&
    cd "$at/cmake" && env -u LD_LIBRARY_PATH ctest --output-on-failure) >"$at/cmake.log" 2>&1 ||
    { tail -n 30 "$at/cmake.log"; fail "examples, CMake"; }
say "examples with CMake"
