/* SPDX-License-Identifier: MIT
 *
 * Written by make_networks.py with torchvision 0.29.2. */
static const struct {
    const char *name;
    long long parameters, entries;
    unsigned long long hash;
} golden_networks[] = {
    { "resnet18", 11689512, 122, 0x0fb153bb10839168u },
    { "resnet34", 21797672, 218, 0xdc7fb31d5c43acb8u },
    { "resnet50", 25557032, 320, 0x80c75a3ff74b05feu },
    { "resnet101", 44549160, 626, 0x9a4c72f0a760e4e7u },
    { "resnet152", 60192808, 932, 0x5f835c11d8ab55dcu },
    { "vgg11_bn", 132868840, 62, 0x442986e1d6c77e4du },
    { "vgg13_bn", 133053736, 76, 0x77ed57e0c5e23b1bu },
    { "vgg16_bn", 138365992, 97, 0xc24ae3e78a01f828u },
    { "vgg19_bn", 143678248, 118, 0x5674d530c3221043u },
};
