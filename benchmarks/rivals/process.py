# SPDX-License-Identifier: MIT
"""What the measurements of this folder say of their own process, in the fields of nn_bench's."""
import json
import os
import statistics
import time


def seconds_since_start():
    """Since this process began, the interpreter's own start included."""
    with open("/proc/self/stat", encoding="ascii") as f:
        ticks = int(f.read().rsplit(")", 1)[1].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def peak_bytes():
    """Of this process alone: getrusage would count what the parent had before exec."""
    with open("/proc/self/status", encoding="ascii") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM"))


def measure(step, warmup, runs, wait=lambda: None):
    """Calls `step` and then `wait`. Returns what the last call gave, the seconds of each run after those that warm up,
    and the seconds until the end of the very first."""
    seconds = []
    for i in range(warmup + runs):
        start = time.perf_counter()
        out = step()
        wait()
        if i >= warmup:
            seconds.append(time.perf_counter() - start)
        if i == 0:
            first = seconds_since_start()
    return out, seconds, first


def report(o, seconds, first, framework, version, mode, **more):
    """Prints a line, and writes all of it to the file that --json names."""
    median = statistics.median(seconds)
    result = {
        "what": o.what, "model": o.model, "batch_size": o.batch_size, "image_size": o.image_size, "threads": o.threads,
        "precision": o.precision, "median_s": median, "min_s": min(seconds), "images_per_second": o.batch_size / median,
        "first_step_s": first, "peak_rss_bytes": peak_bytes(), "framework": framework, "framework_version": version,
        "mode": mode, "runs": o.runs, "warmup": o.warmup, "peak_device_bytes": 0,
    } | more
    print(f"{o.what} {o.model} batch {o.batch_size} at {o.image_size} px, {framework} {version} {mode} {o.precision}, "
          f"{o.threads} threads: median {median * 1e3:.1f} ms, min {min(seconds) * 1e3:.1f} ms, "
          f"{result['images_per_second']:.2f} images/s, first step after {first:.2f} s, "
          f"peak memory {result['peak_rss_bytes'] / 1e6:.0f} MB")
    if o.json:
        with open(o.json, "w", encoding="utf-8") as f:
            json.dump(result, f, indent=2)
            f.write("\n")


def add_arguments(p):
    """Those that nn_bench has, too."""
    p.add_argument("--model", default="efficientnet_b0")
    p.add_argument("--batch-size", type=int, default=8)
    p.add_argument("--image-size", type=int, default=224)
    p.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="bf16: as the rival does it")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--runs", type=int, default=5, help="measured runs (5)")
    p.add_argument("--warmup", type=int, default=3, help="runs before those (3)")
    p.add_argument("--json", metavar="FILE", help="also write the result there")


def check(p, o):
    if min(o.batch_size, o.image_size, o.threads, o.runs, o.warmup) < 1:
        p.error("counts and sizes are at least 1")
    return o
