/* SPDX-License-Identifier: MIT
 *
 * report.html of a run folder: what it says is what metrics.csv and valid_predictions.csv hold, and names of
 * files do no harm.
 */
#include "programs.h"
#include "suite.h"

#include <apps/run.h>

#define HEADER                                                                                               \
    "epoch,step,train_loss,valid_loss,valid_accuracy,valid_macro_f1,learning_rate,images_per_second,"        \
    "wait_for_data\n"
#define ANSWERS "path,label,logit_real,logit_fake,probability\n"

static char *report(int any, int64_t best_epoch)
{
    struct run r = { .folder = in_tree("r"), .state.stop = { .seen = any, .best_epoch = best_epoch } };

    r.config = json_pack("{s:s, s:f}", "model", "net<1>", "lr", 1e-4);
    run_write_report(&r);
    json_decref(r.config);
    return read_text("r/report.html");
}

static int times(const char *text, const char *part)
{
    int n = 0;

    for (; (text = strstr(text, part)); text++)
        n++;
    return n;
}

START_TEST(what_the_files_hold)
{
    char *page;
    const char *first, *second;

    put("r/metrics.csv", HEADER "1,7,0.7,0.65,0.5,0.3333,0.0001,80,0.1\n"
                                "2,14,0.5,,0.75,0.7333,0.0001,81.25,0.1\n"
                                "# a remark, of the user's\n\n"
                                "3,21,0.25,0.125,1,0.875,0.00005,82,0.1\n");
    put("r/valid_predictions.csv", ANSWERS "a.png,1,-1,1,0.88\n"
                                           "\"b, \"\"<script>\n\xff.png\",0,-2,2,0.982\n"
                                           "c.png,0,1,0,0.269\n"
                                           "d.png,1,3,-3,0.0025\n");
    page = report(1, 2);
    expect_in(page, "Training of net&#60;1&#62;");
    expect_in(page, "3 epochs so far. The best, the vertical line below, is epoch 3: validation loss 0.1250, "
                    "macro F1 0.8750.");
    ck_assert_int_eq(times(page, "<polyline"), 6); /* five columns, one of which has a gap */
    ck_assert_int_eq(times(page, "class=\"best\""), 1);
    expect_in(page, "<td>14</td><td>0.5000</td><td></td><td>0.7500</td>");
    expect_in(page, "4 images; accuracy 0.5000");
    expect_in(page, "<tr><td>real</td><td>1</td><td>1</td></tr>");
    expect_in(page, "<tr><td>fake</td><td>1</td><td>1</td></tr>");
    first = strstr(page, "<code>d.png</code></td><td>fake</td><td>0.0025");
    second = strstr(page, "<code>b, &#34;&#60;script&#62;\\n\\xff.png</code></td><td>real</td><td>0.9820");
    ck_assert_msg(first && second && first < second, "%s", page);
    expect_not_in(page, "<script");
    expect_not_in(page, "<code>a.png");
    expect_in(page, "<td>lr</td><td><code>0.0001</code>");
    free(page);
}
END_TEST

/* One epoch, no best weights, no answers. */
START_TEST(the_beginning)
{
    char *page;

    put("r/metrics.csv", HEADER "1,7,0.7,,,,0.0001,80,0.1\n");
    page = report(0, 0);
    expect_not_in(page, "The best");
    expect_not_in(page, "<h3>Validation</h3>");
    ck_assert_int_eq(times(page, "<polyline"), 1); /* not of the rate, which does not change */
    expect_in(page, "</html>");
    free(page);
}
END_TEST

/* Of a run begun when the file counted from 0. */
START_TEST(counted_from_zero)
{
    char *page;

    put("r/metrics.csv", HEADER "0,7,0.7,0.6,0.5,0.5,0.0001,80,0.1\n1,14,0.7,0.5,0.5,0.25,0.0001,80,0.1\n");
    page = report(1, 1);
    expect_in(page, "validation loss 0.5000, macro F1 0.2500");
    free(page);
}
END_TEST

/* Damage costs the page, or a part of it, and nothing else. */
START_TEST(damaged)
{
    char *page;

    put("r/metrics.csv", "");
    put("r/report.html", "old");
    page = report(1, 0);
    ck_assert_str_eq(page, "old");
    free(page);
    put("r/metrics.csv", HEADER "1,7");
    put("r/valid_predictions.csv", ANSWERS "\"a,1\n\n,,,,,,,\nb,7,x,y,z");
    page = report(1, 0);
    expect_in(page, "</html>");
    free(page);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("report");
    Suite *s = suite_create("report");

    tcase_add_checked_fixture(c, programs_setup, programs_teardown);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, what_the_files_hold);
    tcase_add_test(c, the_beginning);
    tcase_add_test(c, counted_from_zero);
    tcase_add_test(c, damaged);
    suite_add_tcase(s, c);
    return suite_run(s);
}
