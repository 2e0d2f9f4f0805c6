/* SPDX-License-Identifier: MIT
 *
 * libFuzzer's entry to the target that `make fuzz` names when it compiles this.
 */
#include "targets.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    FUZZ_TARGET(bytes, size);
    return 0;
}
