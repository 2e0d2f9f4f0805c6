/* SPDX-License-Identifier: MIT
 *
 * How many threads a device starts when nobody says: on machines with more processors than a cpu_set_t holds,
 * with few of them allowed, and in control groups with a quota. This program has its own sched_getaffinity,
 * and its own files below /proc and /sys.
 */
#define _GNU_SOURCE
#include "base/base.h"
#include "suite.h"

#include <check.h>
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

static struct nni_seam real;
static int first, count = 1; /* processors allowed; OpenBLAS asks, too, when it is loaded */

/* Like the kernel of a machine with 2048 processors. */
int sched_getaffinity(pid_t process, size_t size, cpu_set_t *set)
{
    (void)process;
    if (size < 2048 / 8) {
        errno = EINVAL;
        return -1;
    }
    memset(set, 0, size);
    for (int i = 0; i < count; i++)
        CPU_SET_S((size_t)(first + i), size, set);
    return 0;
}

struct file {
    const char *path, *text;
};
static const struct file *files;

static int my_open(const char *path, int flags, int mode)
{
    int end[2];

    if (strncmp(path, "/proc/", 6) != 0 && strncmp(path, "/sys/", 5) != 0)
        return real.open(path, flags, mode);
    for (const struct file *f = files; f && f->path; f++) {
        if (strcmp(f->path, path) != 0)
            continue;
        ck_assert_int_eq(pipe(end), 0);
        ck_assert_int_eq(write(end[1], f->text, strlen(f->text)), (ssize_t)strlen(f->text));
        (void)close(end[1]);
        return end[0];
    }
    errno = ENOENT;
    return -1;
}

static void set_up(void)
{
    real = nni_seam;
    nni_seam.open = my_open;
    files = NULL;
    first = 0;
    count = 64;
}

static void tear_down(void) { nni_seam = real; }

START_TEST(mask)
{
    ck_assert_int_eq(nni_processors(), 64);
    first = 1900;
    count = 7;
    ck_assert_int_eq(nni_processors(), 7);
    first = 0;
    count = 2048;
    ck_assert_int_eq(nni_processors(), NNI_MOST_THREADS);
}
END_TEST

#define GROUP "/proc/self/cgroup"
#define UNIFIED "/sys/fs/cgroup"
#define CPU "/sys/fs/cgroup/cpu"

static const struct {
    int expected;
    struct file files[8];
} groups[] = {
    { 64, { { GROUP, "0::/a/b\n" } } },
    { 64, { { GROUP, "0::/a/b\n" }, { UNIFIED "/a/b/cpu.max", "max 100000\n" } } },
    { 3, { { GROUP, "0::/a/b\n" }, { UNIFIED "/a/b/cpu.max", "250000 100000\n" } } },
    { 1, { { GROUP, "0::/a\n" }, { UNIFIED "/a/cpu.max", "5000 100000\n" } } },
    { 64, { { GROUP, "0::/a\n" }, { UNIFIED "/a/cpu.max", "900000000 100000\n" } } },
    /* The group around it has less; one that it does not lie in counts for nothing. */
    { 2,
      { { GROUP, "0::/a/b\n" },
        { UNIFIED "/a/b/cpu.max", "800000 100000" },
        { UNIFIED "/a/cpu.max", "200000 100000" },
        { UNIFIED "/c/cpu.max", "100000 100000" } } },
    /* A container: its group is the root of what is mounted, under its own name or the host's. */
    { 4, { { GROUP, "0::/\n" }, { UNIFIED "/cpu.max", "400000 100000" } } },
    { 4,
      { { GROUP, "5:cpuset:/x\n4:cpu,cpuacct:/docker/0\n" },
        { CPU "/cpu.cfs_quota_us", "200000\n" },
        { CPU "/cpu.cfs_period_us", "50000\n" } } },
    { 64,
      { { GROUP, "4:cpu:/\n0::/\n" },
        { CPU "/cpu.cfs_quota_us", "-1\n" },
        { CPU "/cpu.cfs_period_us", "100000\n" } } },
    { 64,
      { { GROUP, "5:cpuset:/\n" },
        { CPU "/cpu.cfs_quota_us", "1\n" },
        { CPU "/cpu.cfs_period_us", "1\n" } } },
    /* Not what it should be. */
    { 64, { { GROUP, "nonsense" } } },
    { 64, { { GROUP, "0::/a" }, { UNIFIED "/a/cpu.max", "100000" } } },
    { 64, { { GROUP, "0::/a" }, { UNIFIED "/a/cpu.max", "1 0" } } },
};
enum { GROUPS = sizeof groups / sizeof *groups };

START_TEST(quota)
{
    files = groups[_i].files;
    ck_assert_int_eq(nni_processors(), groups[_i].expected);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("processors");
    TCase *t = tcase_create("processors");

    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, mask);
    tcase_add_loop_test(t, quota, 0, GROUPS);
    suite_add_tcase(s, t);
    return suite_run(s);
}
