# SPDX-License-Identifier: MIT
"""The order in which fakereal_train sees an epoch's images (libnn/src/data/order.c), so that others can follow it."""

MASK = 0xFFFFFFFF


def philox(counter, key):
    """Philox4x32-10."""
    (a, b, c, d), (k0, k1) = counter, key
    for _ in range(10):
        m, n = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (n >> 32) ^ b ^ k0, n & MASK, (m >> 32) ^ d ^ k1, m & MASK
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return a, b, c, d


def fnv1a(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return h


def order(seed, epoch, n):
    """A permutation of range(n), drawn from seed and epoch."""
    stream = fnv1a(b"epoch order")
    key = philox((seed & MASK, seed >> 32, stream & MASK, stream >> 32), (0x6C69626E, 0x6E000001))[:2]
    out, index = list(range(n)), 0
    for i in range(n - 1, 0, -1):
        bound = i + 1
        reject, j = 2**32 % bound, None
        while j is None:
            words = philox((index, 0, epoch & MASK, epoch >> 32), key)
            index += 1
            j = next((w * bound >> 32 for w in words if w * bound & MASK >= reject), None)
        out[i], out[j] = out[j], out[i]
    return out
