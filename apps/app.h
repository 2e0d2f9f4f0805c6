/* SPDX-License-Identifier: MIT
 *
 * What every program here shares: exit codes, option parsing, interrupts, the progress line and
 * small files. Results go to stdout, everything else to stderr.
 */
#ifndef APPS_APP_H
#define APPS_APP_H

#include <nn/base.h>

#include <argp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>

enum {
    APP_OK = 0,
    APP_NO = 1, /* a check said no: a leak found, tensors differ, training diverged */
    APP_USAGE = 2,
    APP_DATA = 3, /* bad input data or weights */
    APP_IO = 4,
    APP_DEVICE = 5, /* device or memory */
    APP_HUP = 129,
    APP_INT = 130,
    APP_TERM = 143
};

/* The exit code of a library status. */
int app_exit_code(int status);
/* Prints "program: text" to stderr and returns `code`. Like app_say one line, as app_print writes it. */
int app_fail(int code, const char *format, ...) NN_PRINTF(2, 3);
void app_say(const char *format, ...) NN_PRINTF(1, 2);
/* `text` with everything that is no visible character of UTF-8 as \n or \xHH: names of files, and strings in
 * files, may hold line ends, bytes of anything and commands to the terminal. */
void app_print(FILE *to, const char *text);
/* The same as a string to be freed; NULL without memory. */
char *app_visible(const char *text);

/* Parses `argv` with `argp` into `payload`; on a mistake it prints what and exits with APP_USAGE. When an
 * argument --recipe FILE is there, the lines "option = value" of that file are read first, so that the
 * command line wins. NULL payload fields stay as they were. The one argument --print-completion prints a bash
 * completion of the table instead, and ends the program. */
void app_parse(const struct argp *argp, int argc, char **argv, void *payload);
/* argp_error, as app_print writes it; of an option from a recipe it names the file and line. */
void app_bad_option(const struct argp_state *state, const char *format, ...) NN_PRINTF(2, 3);
/* `text` if it is one of the choices that the table of options names as the argument of `option`
 * ("adam|sgd"). */
const char *app_choice(const struct argp_state *state, const char *option, const char *text);
/* The value of `option` ("--csv"), the path of a file to read, or of a folder: what is neither, such as a
 * pipe, ends the program through app_bad_option, because to open it may be to wait for ever. */
char *app_input(const struct argp_state *state, const char *option, char *path);
/* Numbers of options; a malformed or out-of-range one ends the program through app_bad_option. */
int64_t app_int(const struct argp_state *state, const char *option, const char *text, int64_t low,
                int64_t high);
double app_real(const struct argp_state *state, const char *option, const char *text, double low,
                double high);

/* Of memory.c: "500M", "4G" or plain bytes. */
int64_t app_bytes(const struct argp_state *state, const char *option, const char *text);
/* What this process could still use, the limit of its container included; 0 where nobody tells. */
double app_available_bytes(void);

/* Of completion.c: the script to standard output. */
void app_print_completion(const struct argp *argp);

/* First SIGINT, SIGTERM or SIGHUP (of a terminal that is gone, unless nohup has it ignored): app_interrupted
 * becomes the signal's number. Second, half a second later or more: the process ends at once. */
extern volatile sig_atomic_t app_interrupted;
void app_catch_interrupts(void);

/* The one line that is redrawn while work goes on; on something that is not a terminal a plain line now and
 * then instead. app_progress_end finishes the line. */
void app_progress(const char *format, ...) NN_PRINTF(1, 2);
void app_progress_end(void);
/* "1 image", "2 images". */
struct app_text {
    char text[48];
};
const char *app_counted(int64_t n, const char *noun, struct app_text *room);
#define app_count(n, noun) app_counted((n), (noun), &(struct app_text){ .text = "" })
/* "1h02m", "3m20s", "12s". */
const char *app_duration(double seconds, char text[32]);

/* mkdir -p; 0 or the exit code, with the message printed. */
int app_make_folder(const char *path);
/* Writes a whole small file so that it is old or new, never half. */
int app_write_file(const char *path, const char *text);
bool app_exists(const char *path);
bool app_is_file(const char *path); /* a regular one, or a link to one */
/* Whether both are one file, whatever they are called, or would be if they were there. */
bool app_same_file(const char *a, const char *b);
/* That a file will be read, because of `option`: no output may replace it. app_input says it, too. */
void app_reads(const char *option, const char *path);
/* Whether a result can be written to `path`, the argument of `option`, so that this is known before hours of
 * work. APP_OK, or the exit code with the reason printed. A terminal, a pipe or a device will do where
 * `devices` says so: app_write_file writes to them, the library's files replace what is there. What is to be
 * read will not do, whatever it is called. */
int app_check_output(const char *option, const char *path, bool devices);
/* Whether `folder` is the one that `file`, which need not be there, lies or would lie in. */
bool app_lies_in(const char *file, const char *folder);
/* A file to read; NULL with errno, EINVAL where it is none. */
FILE *app_open_text(const char *path);
/* A text file of at most `most` bytes, without a byte-order mark, to be freed; NULL with errno otherwise. */
char *app_read_text(const char *path, size_t most);
/* "folder/name" in memory to be freed. */
char *app_join(const char *folder, const char *name);
/* `name` in the folder of `file`; to be freed. */
char *app_beside(const char *file, const char *name);
/* Bytes of memory this process has used at most. */
double app_peak_bytes(void);
double app_seconds(void);

/* The devices' options, the same in every program. */
#define APP_ISAS "portable|avx2|avx512|avx512_bf16"
#define APP_DEVICES "cpu, or in a build with CUDA cuda or cuda:N (cpu)" /* help of the option "device" */
#define APP_PRECISIONS "fp32|bf16" /* argument of the option "precision" */
struct app_device {
    const char *device, *isa;
    nn_dtype precision; /* of activations, see nn_plan_opts */
    int threads;
};
nn_dtype app_precision(const struct argp_state *state, const char *text);
const char *app_precision_name(nn_dtype precision);
struct nn_device;
/* Opens it or returns the exit code with the reason printed. */
int app_open(struct nn_device **out, const struct app_device *o);

#endif
