/* SPDX-License-Identifier: MIT
 *
 * Differences: every way in which two shapes can broadcast, and a tensor less itself.
 */
#include "cases.h"

BINARY(nn_sub(g, in[0], in[1]), a - b)

static const op_case cases[] = {
    BROADCAST_CASES(0, 0),
};

int main(int argc, char **argv)
{
    return op_test_main(argc, argv, &(op_suite){ .name = "sub", OP_CASES(cases) });
}
