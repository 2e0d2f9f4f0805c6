# SPDX-License-Identifier: MIT
#
# make                 library and programs (build/libnn.a, build/apps/)
# make check           every test; needs no network and no Python
# make parity          comparison with PyTorch, Pillow, OpenCV (builds a virtual environment)
# make bench           benchmark programs
# make REAL=double     the variant whose arithmetic is double (gradient checks)
# make SAN=address,undefined | SAN=thread      sanitizer variants
# make CC=clang        another compiler (its own variant folder)
#
# Each variant has its folder below build/, so switching never rebuilds the world.

CC      ?= gcc
ifeq ($(origin CC),default)
CC      := gcc
endif
REAL    ?= float
SAN     ?=
PYTHON  ?= python3
PREFIX  ?= /usr/local

comma   := ,
ccname  := $(notdir $(firstword $(CC)))
variant := $(if $(filter gcc cc,$(ccname)),,$(ccname)-)$(if $(filter double,$(REAL)),double-)$(if $(SAN),$(subst $(comma),-,$(SAN))-)
variant := $(patsubst %-,%,$(variant))
B       := build$(if $(variant),/$(variant))

PACKAGES := openblas jansson nettle zlib
warnings := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
sanflags := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)
CFLAGS   ?= -O2 -g
cflags   := -std=c11 -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE $(warnings) $(if $(WERROR),-Werror) -fPIC -pthread \
            -fvisibility=hidden -fno-math-errno $(sanflags) $(if $(filter double,$(REAL)),-DNN_REAL_DOUBLE)
public   := -Ilibnn/include -I.
internal := $(public) -Ilibnn/src $(shell pkg-config --cflags $(PACKAGES))
ldlibs   := $(shell pkg-config --libs $(PACKAGES)) -lm -pthread

# Hot kernels (libnn/src/cpu/simd) are compiled once per instruction set and chosen at run time.
# The double variant has the portable set only.
isas           := portable $(if $(filter double,$(REAL)),,$(if $(filter x86_64,$(shell uname -m)),avx2 avx512))
flags_portable :=
flags_avx2     := -mavx2 -mfma
flags_avx512   := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprefer-vector-width=512

lib_c    := $(filter-out libnn/src/cpu/simd/%,$(wildcard libnn/src/*/*.c))
simd_c   := $(wildcard libnn/src/cpu/simd/*.c)
lib_o    := $(lib_c:%.c=$B/obj/%.o) $(foreach i,$(isas),$(simd_c:%.c=$B/obj/%.$i.o))
models_o := $(patsubst %.c,$B/obj/%.o,$(wildcard models/*.c))
app_c    := $(filter-out apps/common%,$(wildcard apps/fakereal_*.c apps/nn_*.c))
appobj   := $(patsubst %.c,$B/obj/%.o,$(filter-out $(app_c),$(wildcard apps/*.c)))
apps     := $(app_c:%.c=$B/%)
test_c   := $(wildcard tests/test_*.c tests/*/test_*.c)
harness  := $(patsubst %.c,$B/obj/%.o,$(filter-out $(test_c),$(wildcard tests/harness/*.c)))
tests    := $(test_c:%.c=$B/%)

.PHONY: all check check-list tests apps parity bench clean format
.SECONDARY:
all: $B/libnn.a $B/libmodels.a $(apps)
apps: $(apps)
tests: $(tests)

$B/libnn.a: $(lib_o)
	@rm -f $@
	@ar rcs $@ $^
	@echo "  AR   $@"

$B/libmodels.a: $(models_o)
	@rm -f $@
	@ar rcs $@ $^
	@echo "  AR   $@"

define simd_rule
$B/obj/libnn/src/cpu/simd/%.$1.o: libnn/src/cpu/simd/%.c
	@mkdir -p $$(@D)
	@echo "  CC   $$< ($1)"
	@$(CC) $(cflags) $(CFLAGS) -O3 -ffp-contract=fast $(flags_$1) -DNNI_ISA=$1 $(internal) -MMD -MP -c $$< -o $$@
endef
$(foreach i,$(isas),$(eval $(call simd_rule,$i)))

$B/obj/libnn/%.o: libnn/%.c
	@mkdir -p $(@D)
	@echo "  CC   $<"
	@$(CC) $(cflags) $(CFLAGS) $(internal) -MMD -MP -c $< -o $@

# The pixel loops vectorise at -O3 only (gcc 12). Hostile coefficients may wrap in stb_image's inverse DCT, not be undefined.
$B/obj/libnn/src/vision/%.o: CFLAGS += -O3
$B/obj/libnn/src/vision/stb.o: cflags += -fwrapv

# The public include folder alone: models and programs cannot reach into the library.
$B/obj/models/%.o: models/%.c
	@mkdir -p $(@D)
	@echo "  CC   $<"
	@$(CC) $(cflags) $(CFLAGS) $(public) -MMD -MP -c $< -o $@
$B/obj/apps/%.o: apps/%.c
	@mkdir -p $(@D)
	@echo "  CC   $<"
	@$(CC) $(cflags) -D_GNU_SOURCE $(CFLAGS) $(public) $(shell pkg-config --cflags jansson) -MMD -MP -c $< -o $@
$B/obj/tests/%.o: tests/%.c
	@mkdir -p $(@D)
	@echo "  CC   $<"
	@$(CC) $(cflags) $(CFLAGS) $(internal) -Itests/harness $(shell pkg-config --cflags check) -MMD -MP -c $< -o $@

$B/apps/%: $B/obj/apps/%.o $(appobj) $B/libmodels.a $B/libnn.a
	@mkdir -p $(@D)
	@echo "  LD   $@"
	@$(CC) $(sanflags) $(LDFLAGS) $^ $(ldlibs) -o $@
$B/tests/%: $B/obj/tests/%.o $(harness) $B/libmodels.a $B/libnn.a
	@mkdir -p $(@D)
	@echo "  LD   $@"
	@$(CC) $(sanflags) $(LDFLAGS) $^ $(shell pkg-config --libs check) $(ldlibs) -o $@
# Tests of the programs run them, and make checkpoints with the code that these share.
$B/tests/apps/%: $B/obj/tests/apps/%.o $(appobj) $(harness) $B/libmodels.a $B/libnn.a | $(apps)
	@mkdir -p $(@D)
	@echo "  LD   $@"
	@$(CC) $(sanflags) $(LDFLAGS) $^ $(shell pkg-config --libs check) $(ldlibs) -o $@

parity:
	@MAKE="$(MAKE)" PYTHON="$(PYTHON)" tests/parity/run.sh

clean:
	rm -rf build

format:
	clang-format -i $(shell git ls-files '*.c' '*.h')

-include $(shell find build -name '*.d' 2>/dev/null)
