#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes imagenet.c: the words of WordNet 3.0 for the 1000 synsets of ImageNet's classification task, in the order
of the synsets' numbers, which is the order of the classes. Two classes that share all their words get their
synset's number behind. The lists are read from an installed timm.

    python make_imagenet.py > imagenet.c
"""
import collections
import os

import timm

INFO = os.path.join(os.path.dirname(timm.__file__), "data", "_info")


def main():
    with open(os.path.join(INFO, "imagenet_synsets.txt")) as f:
        synsets = sorted(f.read().split())
    with open(os.path.join(INFO, "imagenet_synset_to_lemma.txt")) as f:
        words = dict(line.rstrip("\n").split("\t", 1) for line in f)
    count = collections.Counter(words[s] for s in synsets)
    assert len(synsets) == 1000
    print("""/* SPDX-License-Identifier: MIT
 *
 * The classes of ImageNet by name, so that a prediction can be read. Made by make_imagenet.py. The words are those
 * of WordNet 3.0, copyright 2006 by Princeton University, which permits their use and distribution for any purpose.
 */
#include <nn/models/pretrained.h>

/* clang-format off */
static const char *const names[] = {""")
    for s in synsets:
        name = words[s] + (f" ({s})" if count[words[s]] > 1 else "")
        print('    "%s",' % name.replace('"', '\\"'))
    print("""};
/* clang-format on */

const char *nn_imagenet_class(int64_t index)
{
    return index >= 0 && index < (int64_t)(sizeof names / sizeof *names) ? names[index] : NULL;
}""")


main()
