/* SPDX-License-Identifier: MIT
 *
 * Each public header must stand alone, in C11 and in C++17, without a warning at any level
 * a user may have set. The compilers are those of the environment (CC, CXX, or cc
 * and c++); a language whose compiler is missing is reported as not checked.
 */
#include "source.h"
#include "suite.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const warnings = "-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror";
enum { MOST = 64 };
static char header[MOST][64];
static int headers;
static char include_folder[512];

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

/* The headers in include/nn/FOLDER, as "FOLDER/NAME.h". */
static void list(const char *folder)
{
    char path[1024];
    struct dirent *e;
    DIR *d;

    (void)snprintf(path, sizeof path, "%s/nn/%s", include_folder, folder);
    d = opendir(path);
    while (d && headers < MOST && (e = readdir(d)) != NULL) {
        size_t n = strlen(e->d_name);

        if (n > 2 && n + strlen(folder) < sizeof header[0] && !strcmp(e->d_name + n - 2, ".h"))
            (void)snprintf(header[headers++], sizeof header[0], "%.20s%.40s", folder, e->d_name);
    }
    if (d)
        (void)closedir(d);
}

static void collect(void)
{
    (void)source_path(include_folder, sizeof include_folder, "libnn/include");
    list("");
    list("models/");
    qsort(header, (size_t)headers, sizeof header[0], by_name);
}

/* The exit status of compiling a file that holds nothing but the header, twice. */
static int compiles(const char *compiler, const char *language, const char *standard, const char *name)
{
    char command[2048];
    int status;

    (void)snprintf(
        command, sizeof command,
        "printf '#include <nn/%s>\\n#include <nn/%s>\\nextern int nn_here;\\n' | %s -x %s -std=%s %s -I'%s' "
        "-fsyntax-only - 1>&2",
        name, name, compiler, language, standard, warnings, include_folder);
    status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const char *compiler_of(const char *variable, const char *fallback)
{
    static char probe[512];
    const char *name = getenv(variable);
    int status;

    if (!name || !*name)
        name = fallback;
    (void)snprintf(probe, sizeof probe, "%s --version >/dev/null 2>&1", name);
    status = system(probe);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fprintf(stderr, "SKIPPED headers with %s: it does not run\n", name);
        return NULL;
    }
    return name;
}

START_TEST(found)
{
    int umbrella = 0;

    for (int i = 0; i < headers; i++)
        umbrella |= !strcmp(header[i], "nn.h");
    ck_assert_msg(umbrella, "libnn/include/nn was not found: run this from a folder inside the source tree");
}
END_TEST

START_TEST(alone_in_c)
{
    const char *compiler = compiler_of("CC", "cc");

    ck_assert_msg(!compiler || compiles(compiler, "c", "c11", header[_i]) == 0,
                  "nn/%s does not compile alone as C11", header[_i]);
}
END_TEST

START_TEST(alone_in_cpp)
{
    const char *compiler = compiler_of("CXX", "c++");

    ck_assert_msg(!compiler || compiles(compiler, "c++", "c++17", header[_i]) == 0,
                  "nn/%s does not compile alone as C++17", header[_i]);
}
END_TEST

/* The umbrella header includes all the others but those of single networks. */
START_TEST(umbrella)
{
    static char text[1 << 16];
    char path[1024], line[128];
    size_t n;
    FILE *f;

    (void)snprintf(path, sizeof path, "%s/nn/nn.h", include_folder);
    f = fopen(path, "rb");
    ck_assert_ptr_nonnull(f);
    n = fread(text, 1, sizeof text - 1, f);
    (void)fclose(f);
    text[n] = 0;
    for (int i = 0; i < headers; i++) {
        (void)snprintf(line, sizeof line, "#include <nn/%.63s>", header[i]);
        ck_assert_msg(!strcmp(header[i], "nn.h") || strchr(header[i], '/') || strstr(text, line),
                      "nn.h does not include nn/%s", header[i]);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("headers");
    TCase *t = tcase_create("alone");

    collect();
    tcase_set_timeout(t, 120);
    tcase_add_test(t, found);
    tcase_add_test(t, umbrella);
    tcase_add_loop_test(t, alone_in_c, 0, headers);
    tcase_add_loop_test(t, alone_in_cpp, 0, headers);
    suite_add_tcase(s, t);
    return suite_run(s);
}
