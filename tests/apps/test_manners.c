/* SPDX-License-Identifier: MIT
 *
 * What people expect of any program, asked of every one that was built: help with examples, a version, exit
 * code 2 and a hint after a mistake, and a completion that knows the same options as the help.
 */
#include "programs.h"
#include "suite.h"

#include <dirent.h>

static char *program[32];
static int programs;

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* Every program in build/.../apps. */
static void find_programs(void)
{
    char self[4096] = { 0 }, folder[8192];
    const struct dirent *e;
    DIR *d;

    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        return;
    (void)snprintf(folder, sizeof folder, "%s/../../apps", dirname(self));
    d = opendir(folder);
    while (d && (e = readdir(d)))
        if (e->d_name[0] != '.' && programs < 32)
            program[programs++] = strdup(e->d_name);
    if (d)
        (void)closedir(d);
    qsort(program, (size_t)programs, sizeof *program, by_name);
}

START_TEST(help_and_version)
{
    run(program[_i], "--help", NULL);
    expect_code(0);
    expect_in(ran.out, "Usage: ");
    expect_in(ran.out, "Example");
    expect_in(ran.out, "Exit");
    ck_assert_str_eq(ran.err, "");
    run(program[_i], "--version", NULL);
    expect_code(0);
    expect_in(ran.out, program[_i]);
    expect_in(ran.out, "(libnn) " NN_VERSION);
}
END_TEST

START_TEST(mistakes)
{
    run(program[_i], "--no-such-option", NULL);
    expect_code(2);
    expect_in(ran.err, "--help");
    ck_assert_str_eq(ran.out, "");
    run(program[_i], NULL);
    expect_code(2);
    ck_assert_str_eq(ran.out, "");
    /* What a shell makes of * may be commands to the terminal. */
    run(program[_i], "a\x1b[31m", "b\x1b[31m", "c\x1b[31m", "d\x1b[31m", NULL);
    ck_assert_int_ne(ran.code, 0);
    expect_not_in(ran.err, "\x1b");
}
END_TEST

/* The script is run by bash: after "--" come all options that the help names. */
START_TEST(completion)
{
    char *help, *known, command[512];
    int options = 0;

    if (system("command -v bash >/dev/null 2>&1")) {
        (void)printf("SKIPPED completion: there is no bash\n");
        return;
    }
    run(program[_i], "--help", NULL);
    help = strdup(ran.out);
    run(program[_i], "--print-completion", NULL);
    expect_code(0);
    put("completion.sh", ran.out);
    (void)snprintf(
        command, sizeof command,
        "bash -c 'compopt() { :; }; . %s/completion.sh && COMP_WORDS=(x --) COMP_CWORD=1 && _%s && "
        "printf \" %%s \" \"${COMPREPLY[@]}\"' >%s/known",
        tree, program[_i], tree);
    ck_assert_int_eq(system(command), 0);
    known = read_text("known");
    for (char *line = strtok(help, "\n"); line; line = strtok(NULL, "\n")) {
        size_t indent = strspn(line, " "), n;
        char *at = strstr(line, "--"), word[80];

        if (!at || line[indent] != '-' || indent > 6) /* further to the right is what is said of options */
            continue;
        n = strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789-");
        (void)snprintf(word, sizeof word, " %.*s%s ", (int)n, at, at[n] == '=' ? "=" : "");
        expect_in(known, word);
        options++;
    }
    ck_assert_int_gt(options, 3);
    free(known);
    free(help);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("manners");
    Suite *s = suite_create("manners");
    int failed;

    find_programs();
    tcase_add_checked_fixture(c, programs_setup, programs_teardown);
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, help_and_version, 0, programs);
    tcase_add_loop_test(c, mistakes, 0, programs);
    tcase_add_loop_test(c, completion, 0, programs);
    suite_add_tcase(s, c);
    failed = suite_run(s);
    for (int i = 0; i < programs; i++)
        free(program[i]);
    return failed || !programs;
}
