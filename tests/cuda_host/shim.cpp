/* SPDX-License-Identifier: MIT
 *
 * The shim's machine: memory that only kernels may touch, streams of closures, graphs, and blocks of threads.
 *
 * The threads of a block run one at a time. Each needs a stack of its own only if it has to wait at a
 * barrier, so a fiber runs thread after thread until one waits; then another fiber goes on with the next
 * thread. A kernel without barriers is thus a plain loop.
 */
#include "shim.h"

#include "cuda_runtime.h"

#include <algorithm>
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <sys/mman.h>
#include <ucontext.h>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define FIBERS_OF_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBERS_OF_ASAN 1
#endif
#endif
#ifdef FIBERS_OF_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace
{

struct shim_settings now = { SHIM_ASCENDING, 0, 0xff, 1, 0, 0, 0 };
cudaError_t failed = cudaSuccess;
char reason[512];
long launches;

cudaError_t fail(cudaError_t error, const char *what, const char *name)
{
    if (failed == cudaSuccess) {
        failed = error;
        (void)snprintf(reason, sizeof reason, "%s%s%.400s", what, *name ? ": " : "", name);
    }
    return failed;
}

/* The indices 0..n-1 in the order of the settings; `salt` makes random orders differ from each other. */
std::vector<unsigned> order_of(unsigned n, unsigned salt)
{
    std::vector<unsigned> list(n);
    uint64_t state = 0x9e3779b97f4a7c15u + salt;

    for (unsigned i = 0; i < n; i++)
        list[i] = now.order == SHIM_DESCENDING ? n - 1 - i : i;
    for (unsigned i = n; now.order == SHIM_RANDOM && i > 1; i--) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        std::swap(list[i - 1], list[(state >> 33) % i]);
    }
    return list;
}

/* ------------------------------------------------------------------- memory */

enum { PAGE = 4096, ALIGN = 64, MARGIN_BYTE = 0xA5 };
const size_t SPACE = size_t(1) << 36;  /* of addresses; none is used twice */
const size_t LARGE = size_t(16) << 20; /* workspaces: never filled, so that they need no memory */

struct block_of_memory {
    size_t pages, bytes;
    char *end;
};
std::map<char *, block_of_memory> memory; /* by first page */
char *space, *fresh;
int touchable; /* depth */

void protect(int how)
{
    for (auto &m : memory)
        (void)mprotect(m.first, m.second.pages, how);
}

/* Device memory can be touched while one of these exists. */
struct touching {
    touching()
    {
        if (touchable++ == 0)
            protect(PROT_READ | PROT_WRITE);
    }
    ~touching()
    {
        if (--touchable == 0)
            protect(PROT_NONE);
    }
};

void check_margins(const char *name)
{
    for (auto &m : memory)
        for (char *at = m.second.end; at < m.first + m.second.pages; at++)
            if ((unsigned char)*at != MARGIN_BYTE)
                (void)fail(cudaErrorIllegalAddress, "a write beyond the end of device memory", name);
}

/* ------------------------------------------------------------------- blocks */

struct fiber {
    ucontext_t context;
    char *stack;
    unsigned thread;
    bool waiting;
};

const size_t STACK = 256 * 1024;
ucontext_t scheduler;
std::vector<std::unique_ptr<fiber>> pool;
std::vector<fiber *> idle;
fiber *current;
std::vector<unsigned> queue; /* threads of the block, in order */
size_t started;
unsigned finished;
const std::function<void()> *program;
std::vector<std::pair<const char *, int>> barrier_of; /* where each thread waits */

void become(unsigned thread)
{
    threadIdx = { thread % blockDim.x, thread / blockDim.x % blockDim.y, thread / blockDim.x / blockDim.y };
}

/* To another stack, telling the address sanitizer. */
void change(ucontext_t *from, ucontext_t *to, const void *stack, size_t bytes)
{
#ifdef FIBERS_OF_ASAN
    void *fake = nullptr;

    __sanitizer_start_switch_fiber(&fake, stack, bytes);
    (void)swapcontext(from, to);
    __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#else
    (void)stack;
    (void)bytes;
    (void)swapcontext(from, to);
#endif
}

const void *home;
size_t home_bytes;

void to_scheduler() { change(&current->context, &scheduler, home, home_bytes); }

void fiber_main()
{
#ifdef FIBERS_OF_ASAN
    __sanitizer_finish_switch_fiber(nullptr, &home, &home_bytes);
#endif
    for (;;) {
        while (started < queue.size()) {
            current->thread = queue[started++];
            become(current->thread);
            (*program)();
            finished++;
        }
        to_scheduler();
    }
}

void prepare(fiber *f)
{
    (void)getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = STACK;
    f->context.uc_link = nullptr;
    f->waiting = false;
    makecontext(&f->context, fiber_main, 0);
}

fiber *get_fiber()
{
    fiber *f;

    if (idle.empty()) {
        pool.push_back(std::make_unique<fiber>());
        f = pool.back().get();
        f->stack = static_cast<char *>(
            mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        prepare(f);
        return f;
    }
    f = idle.back();
    idle.pop_back();
    return f;
}

void go_on(fiber *f)
{
    current = f;
    f->waiting = false;
    change(&scheduler, &f->context, f->stack, STACK);
}

/* From wherever a fault happened back to the scheduler's stack, in two halves around the jump: else the
 * address sanitizer would take the fiber's stack for the current one until the end. */
void leave_fiber()
{
#ifdef FIBERS_OF_ASAN
    if (home)
        __sanitizer_start_switch_fiber(nullptr, home, home_bytes);
#endif
}
void arrive_home()
{
#ifdef FIBERS_OF_ASAN
    if (home)
        __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
}

/* After an error nobody returns to where the fibers are. */
void forget_fibers()
{
    idle.clear();
    for (auto &f : pool) {
        prepare(f.get());
        idle.push_back(f.get());
    }
}

struct piece {
    const char *file;
    int line;
    std::vector<unsigned char> bytes;
    size_t size;
};
std::vector<std::unique_ptr<piece>> shared;

/* Not local: after a fault nobody would free them. */
std::vector<fiber *> all, waiting;
std::vector<unsigned> blocks;

bool run_block(const char *name)
{
    unsigned threads = blockDim.x * blockDim.y * blockDim.z;

    queue = order_of(threads, blockIdx.x * 7 + blockIdx.y);
    barrier_of.assign(threads, { nullptr, 0 });
    started = finished = 0;
    shared.clear();
    waiting.clear();
    while (started < threads) {
        fiber *f = get_fiber();

        go_on(f);
        (f->waiting ? waiting : idle).push_back(f);
    }
    while (!waiting.empty()) {
        if (finished) {
            (void)fail(cudaErrorLaunchFailure, "a thread ended while others wait at a barrier", name);
            return false;
        }
        for (unsigned t = 1; t < threads; t++)
            if (barrier_of[t] != barrier_of[0]) {
                (void)fail(cudaErrorLaunchFailure, "threads of one block wait at different barriers", name);
                return false;
            }
        all.assign(threads, nullptr);
        for (fiber *f : waiting)
            all[f->thread] = f;
        waiting.clear();
        for (unsigned t : queue) {
            fiber *f = all[t];

            become(t);
            go_on(f);
            (f->waiting ? waiting : idle).push_back(f);
        }
    }
    for (auto &p : shared)
        for (size_t i = p->size; i < p->bytes.size(); i++)
            if (p->bytes[i] != MARGIN_BYTE) {
                (void)fail(cudaErrorLaunchFailure, "a write beyond the end of shared memory", name);
                return false;
            }
    return true;
}

sigjmp_buf rescue;
bool in_kernel;
struct sigaction earlier;

void on_fault(int signal, siginfo_t *info, void *context)
{
    char *at = static_cast<char *>(info->si_addr);

    if (in_kernel && at >= space && at < space + SPACE) {
        leave_fiber();
        siglongjmp(rescue, 1);
    }
    if (at >= space && at < space + SPACE)
        (void)fprintf(stderr, "the host followed a pointer into device memory\n");
    (void)sigaction(signal, &earlier, nullptr);
    (void)context;
}

void run_kernel(dim3 grid, dim3 block, const char *name, const std::function<void()> &thread)
{
    touching here;
    struct sigaction mine = {};
    volatile bool good = true;

    mine.sa_sigaction = on_fault;
    mine.sa_flags = SA_SIGINFO | SA_NODEFER;
    (void)sigaction(SIGSEGV, &mine, &earlier);
    gridDim = grid;
    blockDim = block;
    program = &thread;
    launches++;
    in_kernel = true;
    if (sigsetjmp(rescue, 1) == 0) {
        blocks = order_of(grid.x * grid.y * grid.z, unsigned(launches));
        for (unsigned b : blocks) {
            blockIdx = { b % grid.x, b / grid.x % grid.y, b / grid.x / grid.y };
            good = run_block(name);
            if (!good)
                break;
        }
    } else {
        arrive_home();
        (void)fail(cudaErrorIllegalAddress, "access outside device memory", name);
        good = false;
    }
    in_kernel = false;
    (void)sigaction(SIGSEGV, &earlier, nullptr);
    if (!good)
        forget_fibers();
    check_margins(name);
}

} // namespace

enum { MOST_SHARED = 48 * 1024 }; /* what a kernel has without asking for more */

void *shim_shared(const char *file, int line, size_t bytes)
{
    size_t all = bytes;

    for (auto &p : shared) {
        if (p->line == line && p->file == file)
            return p->bytes.data();
        all += p->size;
    }
    if (all > MOST_SHARED)
        (void)fail(cudaErrorInvalidValue, "more shared memory than a block has", file);
    shared.push_back(std::make_unique<piece>());
    shared.back()->file = file;
    shared.back()->line = line;
    shared.back()->size = bytes;
    shared.back()->bytes.assign(bytes + ALIGN, MARGIN_BYTE);
    memset(shared.back()->bytes.data(), now.poison, bytes);
    return shared.back()->bytes.data();
}

void shim_barrier(const char *file, int line)
{
    barrier_of[current->thread] = { file, line };
    current->waiting = true;
    to_scheduler();
}

/* ----------------------------------------------------------------- streams */

typedef std::function<void()> closure;

struct CUevent_st {
    cudaStream_t stream;
    long mark; /* how much of the stream comes before it; 0: never recorded */
};
struct CUstream_st {
    std::deque<closure> queued;
    long put, done;
    std::vector<closure> *recording;
};
struct CUgraph_st {
    std::vector<closure> list;
};
struct CUgraphExec_st {
    std::vector<closure> list;
};

static void drain(cudaStream_t s, long until)
{
    touching here;

    while (s->done < until && !s->queued.empty()) {
        closure next = std::move(s->queued.front());

        s->queued.pop_front();
        s->done++;
        if (failed == cudaSuccess)
            next();
    }
}

static cudaError_t put(cudaStream_t s, closure what)
{
    if (failed != cudaSuccess)
        return failed;
    if (s->recording) {
        s->recording->push_back(std::move(what));
        return cudaSuccess;
    }
    s->queued.push_back(std::move(what));
    s->put++;
    if (now.eager)
        drain(s, s->put);
    return failed;
}

static cudaStream_t recorder; /* at most one stream records at a time */
static cudaError_t allowed(const char *what)
{
    return recorder ? fail(cudaErrorStreamCaptureUnsupported, "not while a stream records", what) : failed;
}

/* Kernels are loaded when they are first launched, which may need what a recording forbids. */
static std::set<const void *> loaded;

cudaError_t shim_launch(const cudaLaunchConfig_t *config, const void *kernel, const char *name,
                        closure thread)
{
    dim3 grid = config->gridDim, block = config->blockDim;

    if (grid.x < 1 || grid.y < 1 || grid.z < 1 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535 ||
        block.x < 1 || block.z > 64 || block.x * block.y * block.z > 1024 ||
        config->dynamicSmemBytes > MOST_SHARED)
        return fail(cudaErrorInvalidValue, "a grid or block of impossible size", name);
    if (loaded.insert(kernel).second && config->stream->recording)
        return fail(cudaErrorStreamCaptureUnsupported, "loaded while a stream records", name);
    return put(config->stream, [=] { run_kernel(grid, block, name, thread); });
}

extern "C" {

void shim_set(struct shim_settings settings) { now = settings; }
const char *shim_error(void) { return reason; }
void shim_reset(void)
{
    failed = cudaSuccess;
    reason[0] = 0;
}
int shim_blas(void) { return !now.no_libraries; }
int shim_dnn(void) { return !now.no_libraries && !now.no_dnn; }
long shim_launches(void) { return launches; }

const char *cudaGetErrorString(cudaError_t error)
{
    if (error == failed && reason[0])
        return reason;
    return error == cudaErrorNoDevice ? "no CUDA-capable device is detected" : "an error of the shim";
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = 13000;
    return cudaSuccess;
}
cudaError_t cudaGetDeviceCount(int *count)
{
    *count = now.devices > 0 ? now.devices : 0;
    return now.devices > 0 ? cudaSuccess : cudaErrorNoDevice;
}
cudaError_t cudaSetDevice(int device) { return device < now.devices ? failed : cudaErrorInvalidDevice; }
cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr what, int)
{
    *value = what == cudaDevAttrComputeCapabilityMajor ? (now.old ? 7 : 9) : 0;
    return failed;
}

cudaError_t cudaMemGetInfo(size_t *unused, size_t *total)
{
    *unused = *total = SPACE;
    for (const auto &m : memory)
        *unused -= m.second.bytes;
    return allowed("cudaMemGetInfo");
}

cudaError_t cudaMalloc(void **at, size_t bytes)
{
    size_t used = (bytes + ALIGN - 1) / ALIGN * ALIGN, pages = (used + PAGE - 1) / PAGE * PAGE;
    cudaError_t rc = allowed("cudaMalloc");
    char *first;

    *at = nullptr;
    if (rc != cudaSuccess)
        return rc;
    if (!space) {
        space = static_cast<char *>(
            mmap(nullptr, SPACE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        fresh = space;
    }
    if (space == MAP_FAILED || bytes == 0 || pages > size_t(space + SPACE - fresh) - PAGE)
        return cudaErrorMemoryAllocation;
    first = fresh;
    fresh += pages + PAGE; /* the page after it stays out of reach */
    (void)mprotect(first, pages, PROT_READ | PROT_WRITE);
    *at = first + pages - used;
    memory[first] = { pages, bytes, static_cast<char *>(*at) + bytes };
    memset(memory[first].end, MARGIN_BYTE, used - bytes);
    if (bytes < LARGE)
        memset(*at, now.poison, bytes);
    if (!touchable)
        (void)mprotect(first, pages, PROT_NONE);
    return cudaSuccess;
}

cudaError_t cudaFree(void *at)
{
    cudaError_t rc = allowed("cudaFree");

    if (!at || rc != cudaSuccess)
        return rc;
    for (auto m = memory.begin(); m != memory.end(); ++m)
        if (m->second.end - m->second.bytes == at) {
            (void)mmap(m->first, m->second.pages, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
            memory.erase(m);
            return cudaSuccess;
        }
    return fail(cudaErrorInvalidValue, "cudaFree of what is no device memory", "");
}

cudaError_t cudaMallocHost(void **at, size_t bytes)
{
    *at = aligned_alloc(ALIGN, (bytes + ALIGN - 1) / ALIGN * ALIGN);
    if (!*at)
        return cudaErrorMemoryAllocation;
    memset(*at, now.poison, bytes);
    return allowed("cudaMallocHost");
}
cudaError_t cudaFreeHost(void *at)
{
    free(at);
    return cudaSuccess;
}

static bool on_device(const void *at) { return space && at >= space && at < space + SPACE; }

/* What a recording copies from the host it copies again whenever it is replayed, from where it then is. */
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind, cudaStream_t s)
{
    if (s->recording && !(on_device(to) && on_device(from)))
        return fail(cudaErrorStreamCaptureUnsupported, "not while a stream records", "the host's memory");
    return put(s, [=] { memmove(to, from, bytes); });
}
cudaError_t cudaMemsetAsync(void *at, int byte, size_t bytes, cudaStream_t s)
{
    return put(s, [=] { memset(at, byte, bytes); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned)
{
    *s = new CUstream_st();
    return failed;
}
cudaError_t cudaStreamDestroy(cudaStream_t s)
{
    drain(s, s->put);
    delete s;
    return failed;
}
cudaError_t cudaStreamSynchronize(cudaStream_t s)
{
    cudaError_t rc = allowed("cudaStreamSynchronize");

    if (rc == cudaSuccess)
        drain(s, s->put);
    return failed;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned)
{
    cudaStream_t other = e->stream;
    long mark = e->mark;

    return mark ? put(s, [=] { drain(other, mark); }) : failed;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t s, enum cudaStreamCaptureMode)
{
    cudaError_t rc = allowed("cudaStreamBeginCapture");

    if (rc == cudaSuccess) {
        recorder = s;
        s->recording = new std::vector<closure>();
    }
    return rc;
}
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *graph)
{
    *graph = nullptr;
    if (!s->recording)
        return fail(cudaErrorInvalidValue, "no stream records", "cudaStreamEndCapture");
    *graph = new CUgraph_st{ std::move(*s->recording) };
    delete s->recording;
    s->recording = nullptr;
    recorder = nullptr;
    return failed;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned)
{
    *e = new CUevent_st();
    return failed;
}
cudaError_t cudaEventDestroy(cudaEvent_t e)
{
    delete e;
    return failed;
}
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s)
{
    cudaError_t rc = allowed("cudaEventRecord");

    if (rc == cudaSuccess)
        rc = put(s, [] {});
    e->stream = s;
    e->mark = s->put;
    return rc;
}
cudaError_t cudaEventSynchronize(cudaEvent_t e)
{
    cudaError_t rc = allowed("cudaEventSynchronize");

    if (rc == cudaSuccess && e->mark)
        drain(e->stream, e->mark);
    return failed;
}
cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t, cudaEvent_t)
{
    *milliseconds = 1; /* there is no GPU whose time could be taken */
    return failed;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long)
{
    *exec = new CUgraphExec_st{ graph->list };
    return failed;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    delete graph;
    return failed;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    delete exec;
    return failed;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t s)
{
    std::vector<closure> list = exec->list;

    return put(s, [=] {
        for (const closure &c : list)
            if (failed == cudaSuccess)
                c();
    });
}

} // extern "C"
