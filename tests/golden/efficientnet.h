/* SPDX-License-Identifier: MIT
 *
 * Written by make_efficientnet.py with torchvision 0.29.2 and timm 1.0.31 (Lite). */
static const struct {
    const char *name;
    long long parameters, entries;
} golden_networks[] = {
    { "efficientnet_b0", 5288548, 360 },
    { "efficientnet_b1", 7794184, 508 },
    { "efficientnet_b2", 9109994, 508 },
    { "efficientnet_b3", 12233232, 574 },
    { "efficientnet_b4", 19341616, 706 },
    { "efficientnet_b5", 30389784, 854 },
    { "efficientnet_b6", 43040704, 986 },
    { "efficientnet_b7", 66347960, 1200 },
    { "efficientnet_lite0", 4652008, 296 },
    { "efficientnet_lite1", 5416680, 386 },
    { "efficientnet_lite2", 6092072, 386 },
    { "efficientnet_lite3", 8197096, 440 },
    { "efficientnet_lite4", 13006568, 548 },
};
