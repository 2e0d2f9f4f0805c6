#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compares libnn's safetensors reader and writer with the reference package.

Random files written by the package are read by libnn, which must see the same tensors; libnn writes
them again, which must give the same bytes (the package writes metadata in random order, so files
with several pairs are compared with that part sorted) and be read by the package. Damaged files
that the package refuses must be refused by libnn too: it may be stricter, never laxer.

Needs safetensors and numpy. Prints PASS or FAIL per group; exit code 1 when one failed.
"""
import argparse
import ctypes
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

import numpy
from safetensors import SafetensorError, TensorSpec, deserialize, serialize

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

# The package's name of a type, the file's, bytes per element, whether nn_dtype has it.
TYPES = [
    ("float32", "F32", 4, True), ("float64", "F64", 8, True), ("bfloat16", "BF16", 2, True),
    ("float16", "F16", 2, True), ("int32", "I32", 4, True), ("int64", "I64", 8, True),
    ("uint8", "U8", 1, True), ("bool", "BOOL", 1, False), ("int8", "I8", 1, False),
    ("int16", "I16", 2, False), ("uint16", "U16", 2, False),
    ("uint32", "U32", 4, False), ("uint64", "U64", 8, False), ("complex64", "C64", 8, False),
    ("float8_e5m2", "F8_E5M2", 1, False), ("float8_e4m3fn", "F8_E4M3", 1, False),
    ("float8_e8m0fnu", "F8_E8M0", 1, False), ("float8_e4m3fnuz", "F8_E4M3FNUZ", 1, False),
    ("float8_e5m2fnuz", "F8_E5M2FNUZ", 1, False),
]
LOADABLE = {"BOOL", "U8", "I8", "I16", "I32", "I64", "U16", "U32", "U64", "F16", "BF16", "F32", "F64"}


def build(args, folder):
    """Compiles the driver against the library."""
    flags = subprocess.run(["pkg-config", "--libs", "openblas", "jansson", "nettle"], check=True,
                           capture_output=True, text=True).stdout.split()
    program = os.path.join(folder, "driver")
    source = os.path.join(HERE, "safetensors_driver.c")
    include = "-I" + os.path.join(ROOT, "libnn", "include")
    library = os.path.join(args.build, "libnn.a")
    subprocess.run([args.cc, "-std=c11", include, source, library, "-o", program, *flags, "-lm", "-pthread"],
                   check=True)
    return program


def random_file(rng, types, pairs):
    """Tensors as {name: (package type, file type, shape, bytes)} and metadata."""
    tensors = {}
    for i in range(rng.randrange(0, 9)):
        name = rng.choice(["", "a.", "Z", "features.%d.0." % i, "\u00e9\u6f22\U0001f600", 'q"\\/'])
        name += str(rng.randrange(30))
        kind, stored, size, _ = rng.choice(types)
        shape = [rng.choice([0, 1, 2, 3, 5]) for _ in range(rng.randrange(0, 5))]
        count = int(numpy.prod(shape, dtype=numpy.int64))
        tensors[name] = (kind, stored, shape, rng.randbytes(count * size))
    text = "".join(chr(c) for c in range(1, 160)) + "\u20ac\U0001f600"
    meta = {"k%d\u00fc\"" % i: "".join(rng.sample(text, rng.randrange(40))) for i in range(pairs)}
    return tensors, meta or None


def by_package(tensors, meta):
    """The file as the package writes it."""
    keep, specs = [], {}
    for name, (kind, _, shape, data) in tensors.items():
        buffer = ctypes.create_string_buffer(data, max(1, len(data)))
        keep.append(buffer)
        specs[name] = TensorSpec(dtype=kind, shape=shape, data_ptr=ctypes.addressof(buffer),
                                 data_len=len(data))
    return bytes(serialize(specs, meta))


def sorted_metadata(file):
    """The same file with the metadata sorted by key; all else stays as it is, byte for byte."""
    size = struct.unpack("<Q", file[:8])[0]
    header = file[8:8 + size].decode()
    start = '{"__metadata__":'
    if not header.startswith(start):
        return file
    meta, end = json.JSONDecoder().raw_decode(header, len(start))
    decoder, at, raw = json.JSONDecoder(), len(start) + 1, {}
    while header[at] != "}":
        at += header[at] == ","
        key, middle = decoder.raw_decode(header, at)
        _, stop = decoder.raw_decode(header, middle + 1)
        raw[key] = header[at:stop]
        at = stop
    assert raw.keys() == meta.keys() and at + 1 == end
    body = ",".join(raw[key] for key in sorted(raw, key=lambda k: k.encode()))
    return file[:8] + (start + "{" + body + "}" + header[end:]).encode() + file[8 + size:]


def put(path, data):
    with open(path, "wb") as f:
        f.write(data)


def reads_what_the_package_writes(driver, folder, rng):
    path = os.path.join(folder, "from_package")
    for _ in range(300):
        tensors, meta = random_file(rng, TYPES, rng.randrange(4))
        put(path, by_package(tensors, meta))
        out = subprocess.run([driver, "list", path], capture_output=True, check=True).stdout.decode()
        lines = out.split("\n")[:-1]
        seen = {}
        for line in lines[:len(tensors)]:
            name, stored, shape, data, loadable = line.split("\t")
            dims = [int(d) for d in shape.split(",") if d]
            seen[name] = (stored, dims, bytes.fromhex(data), loadable == "1")
        want = {n: (s, list(shape), d, s in LOADABLE) for n, (_, s, shape, d) in tensors.items()}
        assert seen == want, (seen, want)
        got = dict(line.rsplit("=", 1) for line in lines[len(tensors):])
        got = {key: bytes.fromhex(value).decode() for key, value in got.items()}
        assert got == (meta or {}), (got, meta)
    return "300 files"


def writes_what_the_package_writes(driver, folder, rng):
    path, again = os.path.join(folder, "a"), os.path.join(folder, "b")
    ours = [t for t in TYPES if t[3]]
    total = 0
    for i in range(300):
        tensors, meta = random_file(rng, ours, i % 4)
        file = by_package(tensors, meta)
        put(path, file)
        subprocess.run([driver, "copy", path, again], check=True)
        with open(again, "rb") as f:
            written = f.read()
        assert written == sorted_metadata(file), (written, file)
        assert {n: (t["dtype"], list(t["shape"]), bytes(t["data"])) for n, t in deserialize(written)} == \
            {n: (s, list(shape), d) for n, (_, s, shape, d) in tensors.items()}
        total += len(file)
    return "300 files, %d bytes" % total


def numpy_reads_what_libnn_writes(driver, folder, rng):
    from safetensors.numpy import load_file, save_file
    path, again = os.path.join(folder, "n"), os.path.join(folder, "m")
    arrays = {
        "w": numpy.arange(24, dtype=numpy.float32).reshape(2, 3, 4),
        "s": numpy.array(7, dtype=numpy.int64),
        "h": numpy.array([1.5, -2], dtype=numpy.float16),
        "e": numpy.zeros((0, 3), dtype=numpy.float64),
    }
    save_file(arrays, path, {"format": "pt"})
    subprocess.run([driver, "copy", path, again], check=True)
    back = load_file(again)
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype and numpy.array_equal(back[name], array)
    with open(path, "rb") as f, open(again, "rb") as g:
        assert f.read() == g.read()
    return "4 arrays"


def never_laxer(driver, folder, rng):
    """10,000 damaged files: what the package refuses, libnn refuses."""
    refused = stricter = 0
    pieces = [b"{", b"}", b"[", b"]", b",", b'"', b"-1", b"1.0", b"1e0", b"0", b"F32", b"null", b"\\u0000",
              b'"x":1,', b" "]
    for _ in range(100):
        paths, verdicts = [], []
        for i in range(100):
            tensors, meta = random_file(rng, TYPES, rng.randrange(2))
            file = bytearray(by_package(tensors, meta))
            size = struct.unpack("<Q", file[:8])[0]
            for _ in range(rng.randrange(1, 4)):
                kind, at = min(rng.randrange(16) // 5, 3), 8 + rng.randrange(size)
                if kind == 0:
                    file[at] ^= 1 << rng.randrange(8)
                elif kind == 1:
                    piece = rng.choice(pieces)
                    file[at:at] = piece
                    size += len(piece)
                elif kind == 2 and size > 4:
                    del file[8 + rng.randrange(size)]
                    size -= 1
                else:
                    file += b"x"
            file[:8] = struct.pack("<Q", size)
            path = os.path.join(folder, "d%d" % i)
            put(path, file)
            paths.append(path)
            try:
                deserialize(bytes(file))
                verdicts.append(True)
            except SafetensorError:
                verdicts.append(False)
        out = subprocess.run([driver, "check", *paths], capture_output=True, check=True).stdout
        lines = out.decode("utf-8", "replace").split("\n")[:-1]
        for path, valid, line in zip(paths, verdicts, lines, strict=True):
            if not valid:
                refused += 1
                if line == "ok":
                    with open(path, "rb") as f:
                        raise AssertionError("accepted: %r" % f.read())
            elif line != "ok":
                stricter += 1
    return "%d refused by both, %d by libnn alone" % (refused, stricter)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("build", nargs="?", default=os.path.join(ROOT, "build"), help="folder of a built variant")
    parser.add_argument("--cc", default="cc", help="C compiler")
    parser.add_argument("--seed", type=int, default=42)
    args = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        driver = build(args, folder)
        for group in (reads_what_the_package_writes, writes_what_the_package_writes,
                      numpy_reads_what_libnn_writes, never_laxer):
            try:
                print("PASS %s: %s" % (group.__name__, group(driver, folder, random.Random(args.seed))))
            except (AssertionError, subprocess.CalledProcessError) as error:
                failed = 1
                print("FAIL %s: %s" % (group.__name__, error))
    return failed


if __name__ == "__main__":
    sys.exit(main())
