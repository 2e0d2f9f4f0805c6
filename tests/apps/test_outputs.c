/* SPDX-License-Identifier: MIT
 *
 * Output files that are something else: a device, a pipe, the input itself. What was there stays, and the
 * exit code says so. And a process that finds no memory ends.
 */
#include "programs.h"
#include "suite.h"

START_TEST(devices_and_pipes)
{
    struct stat st;

    put_png("in.png", 1);
    ck_assert_int_eq(mkfifo(in_tree("pipe.png"), 0666), 0);
    run("fakereal_augment", "-i", in_tree("in.png"), "-o", in_tree("pipe.png"), NULL);
    expect_code(4);
    expect_in(ran.err, "no regular file");
    run("fakereal_augment", "-i", in_tree("in.png"), "-o", "/dev/full", NULL);
    expect_code(4);
    ck_assert(!stat("/dev/full", &st) && S_ISCHR(st.st_mode));
    run("fakereal_train", "--data", in_tree("d"), "--recipe", in_tree("pipe.png"), NULL);
    expect_code(2);
    expect_in(ran.err, "not a regular file");
}
END_TEST

/* Nothing of what is said gets into files that are opened in the places of closed streams. */
START_TEST(closed_streams)
{
    char command[8192], self[4096] = { 0 };

    put_png("images/in.png", 1);
    put("images/bad.png", "no image");
    make_checkpoint("c.safetensors", 1, 0.5);
    ck_assert_int_gt(readlink("/proc/self/exe", self, sizeof self - 1), 0);
    (void)snprintf(command, sizeof command,
                   "cd %s && %s/../../apps/fakereal_predict -c c.safetensors -i images -o o.csv <&- >&- 2>&-",
                   tree, dirname(self));
    ck_assert_int_eq(WEXITSTATUS(system(command)), 3);
    {
        static const char want[] = "path,label,probability_fake\nbad.png,,\nin.png,";
        char *rows = read_text("o.csv");

        ck_assert_msg(!strncmp(rows, want, strlen(want)), "%s", rows);
        free(rows);
    }
    (void)snprintf(command, sizeof command, "%s/../../apps/nn_weights info %s/c.safetensors >&-", self, tree);
    ck_assert_int_eq(WEXITSTATUS(system(command)), 4);
#ifndef __SANITIZE_ADDRESS__ /* which ends programs in its own way */
    (void)snprintf(command, sizeof command, "%s/../../apps/nn_weights --help >/dev/full", self);
    ck_assert_int_eq(WEXITSTATUS(system(command)), 4);
#endif
}
END_TEST

START_TEST(inputs_are_spared)
{
    put_png("images/in.png", 1);
    run("fakereal_augment", "-i", in_tree("images/in.png"), "-o", in_tree("images/in.png"), NULL);
    expect_code(2);
    expect_in(ran.err, "would replace a file that is to be read (--image)");
    put("flip.txt", "flip");
    run("fakereal_augment", "-i", in_tree("images/in.png"), "--augment", in_tree("flip.txt"), "-o",
        in_tree("flip.txt"), NULL);
    expect_code(2);
    expect_in(ran.err, "would replace a file that is to be read (--augment)");
    expect_file("flip.txt", "flip");
    run("nn_bench", "data", "--data", in_tree("images"), "--json", in_tree("images/in.png"), NULL);
    expect_code(2);
    expect_in(ran.err, "is an image that is to be read");
    run("fakereal_augment", "-i", in_tree("images/in.png"), "-o", in_tree("sheet.png"), "--grid", "9x9",
        "--image-size", "4096", NULL);
    expect_code(2);
    expect_in(ran.err, "at most 16384 px on a side");
    run("fakereal_augment", "-i", in_tree("images/in.png"), "-o", in_tree("sheet.png"), "--grid", "2x3",
        "--image-size", "16", NULL);
    expect_code(0);
    expect_in(ran.out, "elastic alpha=300");
    {
        nn_image sheet = { 0 };
        nn_message text;

        ck_assert_int_eq(nn_image_load(&sheet, in_tree("sheet.png"), NULL, &text), NN_OK);
        ck_assert_int_eq(sheet.width, 3 * 16 + 2 * 4);
        ck_assert_int_eq(sheet.height, 2 * 16 + 4);
        nn_image_free(&sheet);
    }
    run("fakereal_augment", "-i", in_tree("images/in.png"), "-o", in_tree("floats.png"), "--grid", "2x2",
        "--image-size", "16", "--augment", "normalize maximum=225", NULL);
    expect_code(0);
    {
        nn_image sheet = { 0 };
        nn_message text;

        /* Normalised and shown again: each place is what the first one is. */
        ck_assert_int_eq(nn_image_load(&sheet, in_tree("floats.png"), NULL, &text), NN_OK);
        for (int y = 0; y < 16; y++)
            ck_assert_mem_eq(sheet.rgb + 3 * 36 * y, sheet.rgb + 3 * (36 * (y + 20) + 20), 3 * 16);
        nn_image_free(&sheet);
    }
}
END_TEST

START_TEST(images_that_do_not_count)
{
    put_png("images/a.png", 1);
    put_png("images/b.png", 2);
    put("images/c.png", "no image");
    run("nn_bench", "data", "--data", in_tree("images"), "--image-size", "16", "--runs", "1", NULL);
    expect_code(0);
    expect_in(ran.out, "2 images");
    expect_in(ran.err, "1 image cannot be used");
}
END_TEST

#ifndef __SANITIZE_ADDRESS__ /* whose shadow alone is larger */
START_TEST(ends_without_memory)
{
    char command[8192], self[4096] = { 0 };

    ck_assert_int_gt(readlink("/proc/self/exe", self, sizeof self - 1), 0);
    (void)snprintf(command, sizeof command,
                   "ulimit -v 100000; timeout -s KILL 60 %s/../../apps/nn_weights --help >%s/out",
                   dirname(self), tree);
    ck_assert_int_eq(system(command), 0);
    /* Wherever memory ends, that is what is wrong, and not the file. */
    make_checkpoint("c.safetensors", 1, 0.5);
    for (int kb = 80000; kb <= 130000; kb += 5000) {
        int code;

        (void)snprintf(
            command, sizeof command,
            "ulimit -v %d; OPENBLAS_NUM_THREADS=1 timeout -s KILL 60 %s/../../apps/nn_weights convert "
            "%s/c.safetensors %s/c.onnx 2>%s/err",
            kb, self, tree, tree, tree);
        code = WEXITSTATUS(system(command));
        ck_assert_msg(code == 0 || code == 5, "%d with %d kB: %s", code, kb, read_text("err"));
    }
}
END_TEST
#endif

int main(void)
{
    TCase *c = tcase_create("outputs");
    Suite *s = suite_create("outputs");

    tcase_add_checked_fixture(c, programs_setup, programs_teardown);
    tcase_set_timeout(c, 120);
    tcase_add_test(c, devices_and_pipes);
    tcase_add_test(c, closed_streams);
    tcase_add_test(c, inputs_are_spared);
    tcase_add_test(c, images_that_do_not_count);
#ifndef __SANITIZE_ADDRESS__
    tcase_add_test(c, ends_without_memory);
#endif
    suite_add_tcase(s, c);
    return suite_run(s);
}
