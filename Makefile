# SPDX-License-Identifier: MIT
#
# make                 library and programs (build/libnn.a, build/apps/)
# make check           every test, and the gradient tests in double; needs no network and no Python
# make check ONLY='ops io'   tests of some areas
# make parity          comparison with PyTorch, Pillow, OpenCV (builds a virtual environment)
# make fuzz            the readers of foreign files under clang's libFuzzer, FUZZ_SECONDS each
# make fuzz-coverage   which of their lines the corpus reaches
# make bench           each op on the shapes of real networks, then whole networks
# make bench-rivals    whole networks against PyTorch, in turns (uses the environment of make parity); ARGS for compare.py
# make man             manual pages (build/man/) from the programs' help; needs help2man
# make install         library, headers and programs below PREFIX; make uninstall takes them away again
# make REAL=double install   beside it the library that computes in double, libnn-double
# make installcheck    installs into build/, looks at what arrived, builds and runs examples/ against it
# make examples        builds and runs examples/ against such a copy
# make dist            build/libnn-VERSION.tar.gz of what is committed, the same bytes each time
# make CUDA=1          with the CUDA backend: needs nvcc (its own variant folder)
# make CUDA=host       the CUDA backend on this processor, for its tests (part of make check)
# make gpu-bundle      tests and measurements for a machine with a GPU, in build/gpu-bundle/; needs nvcc
# make CUDA=host errors   how far each op's kernels are from the CPU's
# make REAL=double     the variant whose arithmetic is double (gradient checks)
# make JPEG=turbo      JPEG files by libjpeg-turbo instead of stb_image: faster, and pixels like OpenCV's
# make PNG=spng        PNG files by libspng instead of stb_image: the same pixels
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
JPEG    ?= stb
PNG     ?= stb
CUDA    ?=
PYTHON  ?= python3
PREFIX  ?= /usr/local
DESTDIR ?=
ONLY    ?=

ifneq ($(filter-out float double,$(REAL))$(filter-out stb turbo,$(JPEG))$(filter-out stb spng,$(PNG))$(filter-out 1 host,$(CUDA)),)
$(error REAL is float or double, JPEG stb or turbo, PNG stb or spng, CUDA 1 or host)
endif

comma   := ,
ccname  := $(notdir $(firstword $(CC)))
variant := $(if $(filter gcc cc,$(ccname)),,$(ccname)-)$(if $(filter turbo,$(JPEG)),turbo-)$(if $(filter spng,$(PNG)),spng-)$(if $(filter double,$(REAL)),double-)$(if $(SAN),$(subst $(comma),-,$(SAN))-)
variant := $(patsubst %-,%,$(variant))
plain   := build$(if $(variant),/$(variant))
B       := $(if $(CUDA),build/$(if $(variant),$(variant)-)cuda$(if $(filter host,$(CUDA)),-host),$(plain))

PACKAGES := openblas jansson nettle zlib libzip $(if $(filter turbo,$(JPEG)),libjpeg) $(if $(filter spng,$(PNG)),spng)
warnings := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
sanflags := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer)
CFLAGS   ?= -O2 -g
cflags   := -std=c11 -D_POSIX_C_SOURCE=200809L -D_DEFAULT_SOURCE $(warnings) $(if $(WERROR),-Werror) -fPIC -pthread \
            -fvisibility=hidden -fno-math-errno $(sanflags) $(if $(filter double,$(REAL)),-DNN_REAL_DOUBLE) \
            $(if $(filter turbo,$(JPEG)),-DNN_JPEG_TURBO) $(if $(filter spng,$(PNG)),-DNN_PNG_SPNG)
public   := -Ilibnn/include -I.
internal := $(public) -Ilibnn/src $(shell pkg-config --cflags $(PACKAGES))
ldlibs   := $(shell pkg-config --libs $(PACKAGES)) -lm -pthread

# Hot kernels (the simd folders) are compiled once per instruction set and chosen at run time.
# The double variant has the portable set only.
isas           := portable $(if $(filter double,$(REAL)),,$(if $(filter x86_64,$(shell uname -m)),avx2 avx512))
flags_portable :=
flags_avx2     := -mavx2 -mfma
flags_avx512   := -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprefer-vector-width=512
# The kernels that touch activations once more for activations in bfloat16 (vec.h), which adds an instruction set.
bf16_isas         := $(if $(filter double,$(REAL)),,$(isas) $(if $(filter avx512,$(isas)),avx512_bf16))
flags_avx512_bf16 := $(flags_avx512) -mavx512bf16

unused   := $(if $(filter turbo,$(JPEG)),,libnn/src/vision/turbo.c) $(if $(filter spng,$(PNG)),,libnn/src/vision/spng.c)
lib_c    := $(filter-out libnn/src/cuda/% $(unused),$(wildcard libnn/src/*/*.c))
simd_c   := $(wildcard libnn/src/*/simd/*.c)
models_c := $(wildcard models/*.c)
bf16_c   := $(filter %/depthwise.c %/gemm.c %/pointwise.c %/winograd.c,$(simd_c))
lib_o    := $(lib_c:%.c=$B/obj/%.o) $(models_c:%.c=$B/obj/%.o) $(foreach i,$(isas),$(simd_c:%.c=$B/obj/%.$i.o)) \
            $(foreach i,$(bf16_isas),$(bf16_c:%.c=$B/obj/%.bf16_$i.o))
# With CUDA only what names the backend is compiled anew; the rest is that of the plain variant.
ifneq ($(CUDA),)
ifeq ($(REAL),double)
$(error the CUDA backend computes in float: CUDA and REAL=double exclude each other)
endif
NVCC     ?= $(firstword $(wildcard /usr/local/cuda/bin/nvcc) nvcc)
cuda_at  := $(if $(filter host,$(CUDA)),tests/cuda_host,$(dir $(NVCC))../include)
named    := $(shell grep -l NNI_IF_CUDA $(lib_c))
cuda_c   := $(filter-out $(if $(filter host,$(CUDA)),%/library.c),$(wildcard libnn/src/cuda/*.c))
cuda_cu  := $(wildcard libnn/src/*/*.cu)
host_cpp := $(if $(filter host,$(CUDA)),$(wildcard tests/cuda_host/*.cpp tests/cuda_host/*.cu))
# The tables of the tests of ops, as the plain variant has compiled them.
ops_o    := $(patsubst %.c,$(plain)/obj/%.o,$(wildcard tests/ops/test_*.c))
plain_o  := $(patsubst $B/%,$(plain)/%,$(filter-out $(named:%.c=$B/obj/%.o),$(lib_o)))
lib_o    := $(named:%.c=$B/obj/%.o) $(cuda_c:%.c=$B/obj/%.o) $(cuda_cu:%=$B/obj/%.o) $(host_cpp:%=$B/obj/%.o)
cflags   += -DNN_CUDA
internal += -isystem $(cuda_at)
LINK     := $(CXX)
ldlibs   += $(if $(filter host,$(CUDA)),,-L$(dir $(NVCC))../lib64 -lcudart_static -ldl -lrt)
endif
LINK     ?= $(CC)
app_c    := $(wildcard apps/fakereal_*.c apps/nn_*.c)
appobj   := $(patsubst %.c,$B/obj/%.o,$(filter-out $(app_c),$(wildcard apps/*.c)))
apps     := $(app_c:%.c=$B/%)
test_c   := $(if $(filter host,$(CUDA)),$(wildcard tests/cuda/test_*.c),$(filter-out tests/cuda/%,$(wildcard tests/test_*.c tests/*/test_*.c)))
harness  := $(patsubst %.c,$B/obj/%.o,$(filter-out $(test_c),$(wildcard tests/harness/*.c)))
tests    := $(test_c:%.c=$B/%)
# What `make check` runs: all of this variant, and what depends on arithmetic once more in double.
checked  := $(if $(ONLY),$(filter $(foreach a,$(ONLY),$B/tests/$a $B/tests/$a/%),$(tests)),$(tests))
twin     := $(if $(SAN)$(filter double,$(REAL)),,$(if $(filter build,$B),$B/double,$B-double))
twinned  := $(if $(twin),$(patsubst $B/%,$(twin)/%,$(filter $(foreach a,core ops optim,$B/tests/$a/%),$(checked))))
# Tests of the CUDA backend, which run in a variant of their own.
host_B   := build/$(if $(variant),$(variant)-)cuda-host
hosted   := $(if $(CUDA)$(filter double,$(REAL)),,$(patsubst %.c,$(host_B)/%,$(wildcard tests/cuda/test_*.c)))
hosted   := $(if $(ONLY),$(filter $(foreach a,$(ONLY),$(host_B)/tests/$a $(host_B)/tests/$a/%),$(hosted)),$(hosted))

.PHONY: gpu-bundle gpu-programs all check check-twin check-cuda tests apps parity bench errors bench-rivals clean format format-check install man uninstall examples installcheck dist fuzz fuzzers fuzz-coverage
.SECONDARY:
all: $B/libnn.a $(apps)
apps: $(apps)
tests: $(tests)

$B/libnn.a: $(lib_o) $(if $(CUDA),$(plain)/libnn.a)
	@rm -f $@
	@ar rcs $@ $(lib_o) $(plain_o)
	@echo "  AR   $@"
ifneq ($(CUDA),)
$(plain)/libnn.a $(ops_o) &: FORCE
	+@$(MAKE) -s --no-print-directory CUDA= $(plain)/libnn.a $(ops_o)
$B/tests/cuda/test_ops: $(ops_o)
ifneq ($(CUDA),host)
$B/tests/cuda/test_ops $B/tests/cuda/test_train: $B/obj/tests/gpu/device.o
$B/obj/tests/cuda/%.o $B/obj/tests/gpu/%.o: internal += -Itests/cuda_host
endif
.PHONY: FORCE

# CUDA C++ by nvcc, for two architectures and as PTX for later ones; or as plain C++ for this processor.
cxxflags := -std=c++17 $(filter -D%,$(cflags)) $(public) -Ilibnn/src -DNN_CUDA
hostwarn := -Wall -Wextra -Wpedantic -Wshadow -Wconversion $(if $(WERROR),-Werror)
archs    := -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90a,code=sm_90a \
            -gencode arch=compute_80,code=compute_80
ifeq ($(CUDA),host)
$B/obj/%.o: %
	@mkdir -p $(@D)
	@echo "  CXX  $<"
	@$(CXX) $(cxxflags) $(hostwarn) -fPIC -pthread $(sanflags) $(CFLAGS) -I$(cuda_at) -MMD -MP -x c++ -c $< -o $@
else
$B/obj/%.cu.o: %.cu
	@mkdir -p $(@D)
	@echo "  NVCC $<"
	@$(NVCC) $(cxxflags) -O3 $(archs) --Werror all-warnings -Xcompiler -fPIC,-Wall,-Wextra -MMD -MP -c $< -o $@
endif
endif

# $1: the variant's name; $2: its flags
contract := fast
define simd_rule
$B/obj/libnn/src/%.$1.o: libnn/src/%.c
	@mkdir -p $$(@D)
	@echo "  CC   $$< ($1)"
	@$(CC) $(cflags) $(CFLAGS) $(if $(SAN),,-O3) -ffp-contract=$$(contract) $2 -DNNI_ISA=$1 $(internal) -MMD -MP -c $$< -o $$@
endef
$(foreach i,$(isas),$(eval $(call simd_rule,$i,$(flags_$i))))
$(foreach i,$(bf16_isas),$(eval $(call simd_rule,bf16_$i,$(flags_$i) -DNNI_BF16)))

$B/obj/libnn/%.o: libnn/%.c
	@mkdir -p $(@D)
	@echo "  CC   $<"
	@$(CC) $(cflags) $(CFLAGS) $(internal) -MMD -MP -c $< -o $@

# The same bytes for every instruction set: nothing is fused in one that is not in the other. Traps, which nobody
# asked for, would keep loops with a choice in them from becoming vectors.
$B/obj/libnn/src/vision/simd/%.o: contract := off -fno-trapping-math
# The pixel loops vectorise at -O3 only (gcc 12). Hostile coefficients may wrap in stb_image's inverse DCT, not be undefined.
$B/obj/libnn/src/vision/%.o: CFLAGS += -O3
# At -O2 gcc 12 keeps the eight sums of the gradient's norm in memory, which takes three times as long.
$B/obj/libnn/src/core/update.o: CFLAGS += -O3
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

$B/apps/%: $B/obj/apps/%.o $(appobj) $B/libnn.a
	@mkdir -p $(@D)
	@echo "  LD   $@"
	@$(LINK) $(sanflags) $(LDFLAGS) $^ $(ldlibs) -o $@
$B/tests/%: $B/obj/tests/%.o $(harness) $B/libnn.a
	@mkdir -p $(@D)
	@echo "  LD   $@"
	@$(LINK) $(sanflags) $(LDFLAGS) $(filter %.o,$^) $(filter %.a,$^) $(shell pkg-config --libs check) $(ldlibs) -o $@
# Tests of the programs run them, and make checkpoints with the code that these share.
$B/tests/apps/%: $B/obj/tests/apps/%.o $(appobj) $(harness) $B/libnn.a | $(apps)
	@mkdir -p $(@D)
	@echo "  LD   $@"
	@$(LINK) $(sanflags) $(LDFLAGS) $^ $(shell pkg-config --libs check) $(ldlibs) -o $@

check: $(checked) check-twin check-cuda
	@tests/run.sh $(checked) $(twinned) $(hosted)
# The CUDA backend, carried out by this processor.
check-cuda: $B/libnn.a
	+@$(if $(hosted),$(MAKE) --no-print-directory CUDA=host $(hosted))
check-twin:
	+@$(if $(twinned),$(MAKE) --no-print-directory REAL=double $(twinned))

bench: $(filter $B/tests/ops/%,$(tests)) $B/apps/nn_bench
	@for t in $(filter $B/tests/ops/%,$(tests)); do $$t --bench || exit 1; done
	@for what in train infer; do $B/apps/nn_bench $$what --model efficientnet_b0 --profile || exit 1; done
	@for case in lite0:8:224 b0:8:224 b4:2:380 b6:8:224 b6:1:528; do IFS=:; set -- $$case; \
	    $B/apps/nn_bench ops --model efficientnet_$$1 --batch-size $$2 --image-size $$3 || exit 1; done

# The tests that run on the shim, and what measures, with what they need on a machine with a GPU.
gpu_programs := $(addprefix $B/,apps/nn_bench apps/fakereal_synth apps/fakereal_train tests/cuda/test_ops tests/cuda/test_train)
gpu-programs: $(gpu_programs)
gpu-bundle:
	+@$(MAKE) --no-print-directory CUDA=1 gpu-programs
	@tests/gpu/bundle.sh build/cuda build/gpu-bundle

errors: $B/tests/cuda/test_ops
	@$< --errors

bench-rivals:
	@MAKE="$(MAKE)" PYTHON="$(PYTHON)" benchmarks/run.sh $(ARGS)

parity:
	@MAKE="$(MAKE)" PYTHON="$(PYTHON)" tests/parity/run.sh

# The readers of foreign files under libFuzzer, one target after the other. They alone are instrumented; what else
# they need comes from the library. What is found goes to build/fuzz/TARGET.
fuzz_targets := torch pickle safetensors image csv augment
FUZZ_SECONDS ?= 60
fuzz_c := $(filter-out $(unused),$(wildcard libnn/src/io/*.c libnn/src/vision/*.c libnn/src/base/*.c)) libnn/src/data/csv.c \
          models/metadata.c models/pretrained.c models/pretrained_names.c
build/fuzz/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC   $< (fuzz)"
	@clang $(cflags) -fwrapv -O1 -g -fsanitize=address,fuzzer-no-link $(internal) -MMD -MP -c $< -o $@
fuzzers: $(fuzz_c:%.c=build/fuzz/obj/%.o) $B/libnn.a
	@for t in $(fuzz_targets); do \
	    clang -std=c11 -O1 -g -fsanitize=address,fuzzer -DFUZZ_TARGET=fuzz_$$t $(internal) tests/fuzz/fuzz.c \
	        $^ $(ldlibs) -o build/fuzz/fuzz_$$t || exit 1; \
	done
fuzz: fuzzers
	@for t in $(fuzz_targets); do \
	    mkdir -p build/fuzz/$$t && build/fuzz/fuzz_$$t -max_total_time=$(FUZZ_SECONDS) -max_len=16384 -rss_limit_mb=1024 \
	        build/fuzz/$$t tests/fuzz/corpus/$$t || exit 1; \
	done
# Which lines of the readers the corpus reaches.
fuzz_readers := $(addprefix libnn/src/,$(addprefix io/,pickle.c safetensors.c tensors.c torch.c zip.c) \
                $(addprefix vision/,augment.c decode.c exif.c jpeg.c png.c) data/csv.c)
build/fuzz/coverage/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC   $< (coverage)"
	@clang $(cflags) -fwrapv -O0 -g -fprofile-instr-generate -fcoverage-mapping $(internal) -MMD -MP -c $< -o $@
fuzz-coverage: $(fuzz_c:%.c=build/fuzz/coverage/%.o) $B/libnn.a
	@for t in $(fuzz_targets); do \
	    clang -std=c11 -fsanitize=fuzzer -fprofile-instr-generate -DFUZZ_TARGET=fuzz_$$t $(internal) tests/fuzz/fuzz.c $^ $(ldlibs) \
	        -o build/fuzz/coverage/$$t && LLVM_PROFILE_FILE=build/fuzz/coverage/$$t.profraw \
	        build/fuzz/coverage/$$t -runs=0 tests/fuzz/corpus/$$t 2>/dev/null || exit 1; \
	done
	@llvm-profdata merge -o build/fuzz/coverage/all $(fuzz_targets:%=build/fuzz/coverage/%.profraw)
	@llvm-cov report -instr-profile build/fuzz/coverage/all build/fuzz/coverage/torch $(fuzz_targets:%=-object build/fuzz/coverage/%) $(fuzz_readers)

clean:
	rm -rf build

# Tables of recorded bytes and numbers keep their own layout.
formatted = $(filter-out tests/golden/% tests/vision/jpegs.h,$(shell git ls-files '*.c' '*.h' '*.cu' '*.cpp'))
format:
	@clang-format -i $(formatted)
format-check:
	@clang-format --dry-run --Werror $(formatted)

# ---- installing: static and shared library, headers, programs, descriptions for pkg-config and CMake
version  := $(shell sed -n 's/.*NN_VERSION "\(.*\)"/\1/p' libnn/include/nn/base.h)
# The library in double lies beside the other one: libnn-double, nn::nn_double.
name     := nn$(if $(filter double,$(REAL)),-double)
soname   := lib$(name).so.$(firstword $(subst ., ,$(version)))
programs := $(if $(filter double,$(REAL)),,$(apps))
dest     := $(DESTDIR)$(PREFIX)
describe := sed -e 's|@prefix@|$(PREFIX)|' -e 's|@version@|$(version)|' -e 's|@soname@|$(soname)|' \
            -e 's|@requires@|$(PACKAGES)|' -e 's|@define@|$(if $(filter double,$(REAL)),-DNN_REAL_DOUBLE)|' \
            -e 's|@name@|$(name)|g' -e 's|@target@|$(subst -,_,$(name))|g'

$B/libnn.so: $(lib_o)
	@echo "  LD   $@"
	@$(CC) $(sanflags) $(LDFLAGS) -shared -Wl,-soname,$(soname) -Wl,--no-undefined $^ $(ldlibs) -o $@

# Manual pages from the programs' own help, where help2man is installed.
help2man := $(shell command -v help2man)
pages    := $(programs:$B/apps/%=$B/man/%.1)
man: $(pages)
$B/man/%.1: $B/apps/%
	@mkdir -p $(@D)
	@echo "  MAN  $@"
	@help2man --no-info --name="$$($< --help | sed -n 2p)" $< -o $@

install: $(if $(help2man),man) $B/libnn.a $B/libnn.so $(programs)
	install -d $(dest)/include/nn/models $(dest)/lib/pkgconfig $(dest)/lib/cmake/nn
	install -m 644 libnn/include/nn/*.h $(dest)/include/nn
	install -m 644 libnn/include/nn/models/*.h $(dest)/include/nn/models
	install -m 644 $B/libnn.a $(dest)/lib/lib$(name).a
	install -m 755 $B/libnn.so $(dest)/lib/lib$(name).so.$(version)
	ln -sf lib$(name).so.$(version) $(dest)/lib/$(soname)
	ln -sf $(soname) $(dest)/lib/lib$(name).so
	$(describe) libnn/libnn.pc.in > $(dest)/lib/pkgconfig/lib$(name).pc
	$(describe) libnn/nnTarget.cmake.in > $(dest)/lib/cmake/nn/$(name)Target.cmake
	$(describe) libnn/nnConfig.cmake.in > $(dest)/lib/cmake/nn/nnConfig.cmake
	$(describe) libnn/nnConfigVersion.cmake.in > $(dest)/lib/cmake/nn/nnConfigVersion.cmake
	$(if $(programs),install -d $(dest)/bin $(dest)/share/bash-completion/completions && install -m 755 $(programs) $(dest)/bin)
	for a in $(programs); do $$a --print-completion > $(dest)/share/bash-completion/completions/$${a##*/} || exit 1; done
	$(if $(help2man),$(if $(programs),install -d $(dest)/share/man/man1 && install -m 644 $(pages) $(dest)/share/man/man1))

uninstall:
	rm -rf $(dest)/include/nn $(dest)/lib/cmake/nn
	rm -f $(foreach n,libnn libnn-double,$(addprefix $(dest)/lib/,$n.a $n.so* pkgconfig/$n.pc))
	rm -f $(apps:$B/apps/%=$(dest)/bin/%) $(apps:$B/apps/%=$(dest)/share/bash-completion/completions/%)
	rm -f $(pages:$B/man/%=$(dest)/share/man/man1/%)

# ---- as a user has it: a copy in $B/prefix, used from outside
examples:
	@$(MAKE) --no-print-directory PREFIX=$(abspath $B/prefix) DESTDIR= install >/dev/null
	@PKG_CONFIG_PATH=$(abspath $B/prefix)/lib/pkgconfig LD_LIBRARY_PATH=$(abspath $B/prefix)/lib \
	    $(MAKE) --no-print-directory -C examples B=$(abspath $B)/examples check

installcheck:
	@MAKE="$(MAKE)" CC="$(CC)" tests/installed.sh $(abspath $B)/installed

# gzip -n writes no time of day, git the time of the commit.
dist:
	@mkdir -p build
	git archive --format=tar --prefix=libnn-$(version)/ HEAD | gzip -9n > build/libnn-$(version).tar.gz

-include $(shell find build -name '*.d' 2>/dev/null)
