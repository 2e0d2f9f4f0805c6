# SPDX-License-Identifier: MIT
"""What a measurement has to say about where it was taken, and whether the machine was otherwise idle."""
import datetime
import os
import pathlib
import platform
import resource
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def describe():
    """The machine, the day and the state of the sources, for the head of a result."""
    cpu, flags, memory = platform.machine(), [], 0
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            cpu = value.strip()
        elif name.strip() == "flags":
            flags = value.split()
    for line in pathlib.Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("MemTotal:"):
            memory = int(line.split()[1]) * 1024
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "cpu": cpu, "cores": len(os.sched_getaffinity(0)), "memory_bytes": memory,
        "vector_flags": [f for f in flags if f in ("avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16")],
        "kernel": platform.release(), "loadavg": list(os.getloadavg()), "commit": commit(),
    }


def commit():
    """Short hash of the last commit that touched what is measured, with + if it was changed since; None outside of git."""
    def git(*args):
        paths = ("libnn", "models", "apps", "Makefile")
        return subprocess.run(["git", "-C", ROOT, *args, "--", *paths], capture_output=True, text=True, check=True).stdout.strip()
    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("log", "-1", "--format=%h") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def program_version(path):
    """First line of what `path --version` prints."""
    return subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]


class Load:
    """Processor time that others used since this object was made, as a share of the whole machine.

    The kernel's count of busy time, less that of the child processes which have ended since. The load average cannot
    say this: for a minute after a measurement it mostly counts the measurement itself.
    """

    def __init__(self):
        self.time, self.busy, self.own = time.monotonic(), self._busy(), self._own()

    @staticmethod
    def _busy():
        with open("/proc/stat", encoding="ascii") as f:
            # user nice system idle iowait irq softirq steal; what follows is contained in user
            t = [int(x) for x in f.readline().split()[1:9]]
        return (sum(t) - t[3] - t[4]) / os.sysconf("SC_CLK_TCK")

    @staticmethod
    def _own():
        all_of = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(u.ru_utime + u.ru_stime for u in all_of)

    def others(self):
        wall = max(time.monotonic() - self.time, 1e-3)
        used = self._busy() - self.busy - (self._own() - self.own)
        return max(0.0, used / (wall * os.cpu_count()))


def idle_load(seconds=1.0):
    """What others use now, while this process sleeps."""
    load = Load()
    time.sleep(seconds)
    return load.others()


def wait_until_quiet(limit, patience):
    """Waits at most `patience` seconds for others to use less than `limit`. Returns what they used at last."""
    end = time.monotonic() + patience
    load = idle_load()
    while load > limit and time.monotonic() < end:
        time.sleep(2)
        load = idle_load()
    return load
