/* SPDX-License-Identifier: MIT
 *
 * See app.h.
 */
#include "app.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <math.h>
#include <nn/device.h>
#include <nn/vision.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void print_version(FILE *to, struct argp_state *state)
{
    (void)state;
    (void)fprintf(to, "%s (libnn) %s\nJPEG files are decoded by %s, PNG files by %s\n",
                  program_invocation_short_name, NN_VERSION, nn_jpeg_decoder(), nn_png_decoder());
}
/* Visible, or the C library keeps its own empty one. */
NN_API void (*argp_program_version_hook)(FILE *to, struct argp_state *state) = print_version;

int app_exit_code(int status)
{
    switch (status) {
    case NN_OK: return APP_OK;
    case NN_EINVAL:
    case NN_ESTATE: return APP_USAGE;
    case NN_ESHAPE:
    case NN_EFORMAT:
    case NN_ENOTFOUND:
    case NN_EUNSUPPORTED: return APP_DATA;
    case NN_EIO: return APP_IO;
    default: return APP_DEVICE;
    }
}

static bool line_open;

void app_progress_end(void)
{
    if (line_open)
        (void)fputc('\n', stderr);
    line_open = false;
}

/* Bytes of the character of UTF-8 at `at`; 0 where there is none, or one that commands the terminal instead
 * of showing on it: control characters, and those that end lines or turn the direction of writing. */
static int visible(const unsigned char *at)
{
    static const struct {
        unsigned first, last;
    } hidden[] = { { 0, 0x1f },        { 0x7f, 0x9f },     { 0x200e, 0x200f },
                   { 0x2028, 0x202e }, { 0x2066, 0x2069 }, { 0xd800, 0xdfff } };
    static const unsigned least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    int n = *at < 0x80 ? 1 : *at < 0xc0 ? 0 : *at < 0xe0 ? 2 : *at < 0xf0 ? 3 : *at < 0xf8 ? 4 : 0;
    unsigned c = n > 1 ? *at & (0x7fu >> n) : *at;

    for (int i = 1; i < n; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (at[i] & 0x3fu);
    }
    for (size_t i = 0; i < sizeof hidden / sizeof *hidden; i++)
        if (c >= hidden[i].first && c <= hidden[i].last)
            return 0;
    return c < least[n] || c > 0x10ffff ? 0 : n;
}

void app_print(FILE *to, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;

    while (*at) {
        int n = visible(at);

        if (n)
            (void)fwrite(at, 1, (size_t)n, to);
        else if (*at == '\n')
            (void)fputs("\\n", to);
        else
            (void)fprintf(to, "\\x%02x", *at);
        at += n ? n : 1;
    }
}

char *app_visible(const char *text)
{
    char *out = NULL;
    size_t size;
    FILE *f = open_memstream(&out, &size);

    if (f) {
        app_print(f, text);
        (void)fclose(f);
    }
    return out;
}

enum { MOST_SAID = 16384 };

/* What is said may hold names that come from files. */
static void say(const char *format, va_list args)
{
    char text[MOST_SAID];

    (void)vsnprintf(text, sizeof text, format, args);
    app_print(stderr, text);
    (void)fputc('\n', stderr);
}

int app_fail(int code, const char *format, ...)
{
    va_list args;

    app_progress_end();
    (void)fprintf(stderr, "%s: ", program_invocation_short_name);
    va_start(args, format);
    say(format, args);
    va_end(args);
    return code;
}

void app_say(const char *format, ...)
{
    va_list args;

    app_progress_end();
    va_start(args, format);
    say(format, args);
    va_end(args);
}

double app_seconds(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void app_progress(const char *format, ...)
{
    static double last;
    static int terminal = -1;
    struct winsize size;
    char text[512];
    double now = app_seconds();
    va_list args;
    int columns = 100;

    if (terminal < 0) {
        terminal = isatty(STDERR_FILENO) && !(getenv("TERM") && !strcmp(getenv("TERM"), "dumb"));
        last = terminal ? 0 : now; /* what takes a moment needs no line in a file */
    }
    if (now - last < (terminal ? 0.1 : 15.0))
        return;
    last = now;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (!terminal) {
        (void)fprintf(stderr, "%s\n", text);
        return;
    }
    if (!ioctl(STDERR_FILENO, TIOCGWINSZ, &size) && size.ws_col > 10)
        columns = size.ws_col - 1;
    (void)fprintf(stderr, "\r\033[K%.*s", columns, text);
    (void)fflush(stderr);
    line_open = true;
}

const char *app_counted(int64_t n, const char *noun, struct app_text *room)
{
    (void)snprintf(room->text, sizeof room->text, "%lld %s%s", (long long)n, noun, n == 1 ? "" : "s");
    return room->text;
}

const char *app_duration(double seconds, char text[32])
{
    long s = seconds > 0 && seconds < 1e9 ? (long)(seconds + 0.5) : 0;

    if (s >= 3600)
        (void)snprintf(text, 32, "%ldh%02ldm", s / 3600, s / 60 % 60);
    else if (s >= 60)
        (void)snprintf(text, 32, "%ldm%02lds", s / 60, s % 60);
    else
        (void)snprintf(text, 32, "%lds", s);
    return text;
}

/* ------------------------------------------------------------------ options */

/* The recipe that is being parsed: its arguments come first, argument i from line[i - 1]. */
static struct {
    const char *path;
    char **argument; /* kept to the end: values of options point into them */
    int *line;
    int arguments;
    argp_parser_t parser; /* the program's own */
    int now;              /* line of the option at hand, 0: it is from the command line */
} recipe;

void app_bad_option(const struct argp_state *state, const char *format, ...)
{
    char text[1024], *seen;
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    seen = app_visible(text); /* never freed: argp_error ends the program */
    if (recipe.now)
        argp_error(state, "%s:%d: %s", recipe.path, recipe.now, seen ? seen : "");
    else
        argp_error(state, "%s", seen ? seen : "");
}

int64_t app_int(const struct argp_state *state, const char *option, const char *text, int64_t low,
                int64_t high)
{
    char *end;
    long long v;

    errno = 0;
    v = strtoll(text, &end, 10);
    if (errno || end == text || *end || v < low || v > high)
        app_bad_option(state, "--%s: \"%s\" is not a whole number from %lld to %lld", option, text,
                       (long long)low, (long long)high);
    return v;
}

double app_real(const struct argp_state *state, const char *option, const char *text, double low, double high)
{
    char *end;
    double v;

    errno = 0;
    v = strtod(text, &end);
    if (end == text || *end || !isfinite(v) || v < low || v > high)
        app_bad_option(state, "--%s: \"%s\" is not a number from %.9g to %.9g", option, text, low, high);
    return v;
}

static char *trimmed(char *s)
{
    size_t n;

    while (*s == ' ' || *s == '\t')
        s++;
    n = strlen(s);
    while (n && strchr(" \t\r\n", s[n - 1]))
        s[--n] = 0;
    return s;
}

typedef bool option_test(const struct argp_option *o, const char *text);

static bool is_called(const struct argp_option *o, const char *text)
{
    return o->name && !strcmp(o->name, text);
}

static bool is_abbreviated(const struct argp_option *o, const char *text)
{
    return o->name && !strncmp(o->name, text, strlen(text));
}

static bool has_letter(const struct argp_option *o, const char *text) { return o->key == *text; }

/* The first option of the table and those in it that fits `text`. */
static const struct argp_option *search(const struct argp *argp, option_test *fits, const char *text)
{
    const struct argp_option *o = argp->options;

    while (o && (o->name || o->key || o->doc || o->group)) {
        if (fits(o, text))
            return o;
        o++;
    }
    o = NULL;
    for (const struct argp_child *c = argp->children; !o && c && c->argp; c++)
        o = search(c->argp, fits, text);
    return o;
}

static const struct argp_option *find_option(const struct argp *argp, const char *name)
{
    return search(argp, is_called, name);
}

/* Whether the word after `word` is the value of an option in it. */
static bool takes_next(const struct argp *argp, const char *word)
{
    const struct argp_option *o;

    if (!strncmp(word, "--", 2)) {
        o = find_option(argp, word + 2);
        if (!o)
            o = search(argp, is_abbreviated, word + 2);
        return o && o->arg; /* with "=" in the word there is none */
    }
    for (const char *at = word + 1; *word == '-' && *at; at++) {
        o = search(argp, has_letter, at);
        if (!o || o->arg)
            return o && !at[1];
    }
    return false;
}

/* "--resume --epochs 3": whoever writes this has forgotten a value, and has not called a file --epochs. */
static void check_values(const struct argp *argp, int argc, char **argv)
{
    for (int i = 1; i + 1 < argc && strcmp(argv[i], "--") != 0; i++) {
        if (!takes_next(argp, argv[i]))
            continue;
        i++;
        if (!strncmp(argv[i], "--", 2))
            exit(app_fail(APP_USAGE, "%s has no value; if it is to be \"%s\", write %s%s%s", argv[i - 1],
                          argv[i], argv[i - 1], argv[i - 1][1] == '-' ? "=" : "", argv[i]));
    }
}

const char *app_choice(const struct argp_state *state, const char *option, const char *text)
{
    const char *choices = find_option(state->root_argp, option)->arg;
    size_t n = strlen(text);

    for (const char *at = choices; at; at = strchr(at, '|')) {
        at += *at == '|';
        if (!strncmp(at, text, n) && (at[n] == '|' || !at[n]) && !strchr(text, '|'))
            return text;
    }
    app_bad_option(state, "--%s: \"%s\" is none of %s", option, text, choices);
    return text;
}

enum { MOST_RECIPE = 1 << 20 };

/* Lines "option = value", '#' comments; each becomes the argument --option=value. */
static void read_recipe(const struct argp *argp, const char *path)
{
    struct stat st;
    FILE *f = (errno = 0, !stat(path, &st)) && S_ISREG(st.st_mode) && st.st_size < MOST_RECIPE
                  ? fopen(path, "r")
                  : NULL;
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    int number = 0;

    if (!f)
        exit(app_fail(APP_USAGE, "--recipe %s: %s", path,
                      errno ? strerror(errno) : "not a regular file of less than a megabyte"));
    recipe.path = path;
    while (errno = 0, (length = getline(&line, &room, f)) >= 0) {
        bool zero = strlen(line) != (size_t)length; /* what follows one would be dropped in silence */
        bool marked = !number && !strncmp(line, "\xef\xbb\xbf", 3); /* some editors begin a file with it */
        char *name = trimmed(line + (marked ? 3 : 0)), *value = strchr(name, '='), *argument, **list;
        const struct argp_option *o;
        size_t size;

        number++;
        if (zero)
            exit(app_fail(APP_USAGE, "%s:%d: a zero byte", path, number));
        if (!*name || *name == '#')
            continue;
        if (!value || value == name || strncmp(name, "--", 2) == 0)
            exit(app_fail(APP_USAGE, "%s:%d: expected \"option = value\"", path, number));
        *value++ = 0;
        name = trimmed(name);
        value = trimmed(value);
        o = find_option(argp, name);
        if (!strcmp(name, "recipe"))
            exit(app_fail(APP_USAGE, "%s:%d: a recipe cannot name another recipe", path, number));
        if (!o)
            exit(app_fail(APP_USAGE, "%s:%d: there is no option \"%s\"", path, number, name));
        if (!o->arg && *value)
            exit(app_fail(APP_USAGE, "%s:%d: \"%s\" takes no value: write \"%s =\"", path, number, name,
                          name));
        size = strlen(name) + strlen(value) + 4;
        argument = malloc(size);
        list = realloc(recipe.argument, (size_t)(recipe.arguments + 1) * sizeof *list);
        recipe.line = realloc(recipe.line, (size_t)(recipe.arguments + 1) * sizeof *recipe.line);
        if (!argument || !list || !recipe.line)
            exit(app_fail(APP_DEVICE, "out of memory"));
        (void)snprintf(argument, size, o->arg ? "--%s=%s" : "--%s", name, value);
        recipe.argument = list;
        recipe.line[recipe.arguments] = number;
        recipe.argument[recipe.arguments++] = argument;
    }
    if (errno)
        exit(app_fail(APP_USAGE, "--recipe %s: %s", path, strerror(errno)));
    free(line);
    (void)fclose(f);
}

/* The value of the argument --recipe, abbreviated or not; NULL without one. */
static const char *recipe_path(int argc, char **argv)
{
    const char *path = NULL;

    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        size_t n = strcspn(argv[i], "=");

        if (n < strlen("--rec") || strncmp(argv[i], "--recipe", n) != 0)
            continue;
        if (path)
            exit(app_fail(APP_USAGE, "--recipe: give one only"));
        path = argv[i][n] ? argv[i] + n + 1 : argv[i + 1]; /* NULL at the end: argp says what is missing */
    }
    return path;
}

/* Tells app_bad_option where an option stands. */
static error_t parse_located(int key, char *arg, struct argp_state *state)
{
    error_t rc;

    recipe.now = key > 0 && key < ARGP_KEY_END && state->next - 1 <= recipe.arguments
                     ? recipe.line[state->next - 2]
                     : 0;
    rc = recipe.parser(key, arg, state);
    recipe.now = 0;
    return rc;
}

#ifndef __SANITIZE_ADDRESS__ /* which looks for leaks later */
/* OpenBLAS ends its threads when the process does, and waits for ever for one that finds no memory to begin
 * with. Everything of ours is flushed by then; a help that nobody got is no success either. */
static void leave(int status, void *unused)
{
    (void)unused;
    if (fflush(stdout) && !status)
        status = app_fail(APP_IO, "standard output: %s", strerror(errno));
    (void)fflush(NULL);
    _exit(status);
}
#endif

/* What a write cannot do shall be an error of that write: nobody reads the pipe, the file may not grow. */
static void be_told_by_write(void)
{
    struct sigaction a = { .sa_handler = SIG_IGN };

    (void)sigemptyset(&a.sa_mask);
    (void)sigaction(SIGPIPE, &a, NULL);
    (void)sigaction(SIGXFSZ, &a, NULL);
}

/* Where a standard stream is closed, the next file that is opened would take its place, and what is said be
 * written into it. Opened the wrong way round, they still fail when used. */
static void hold_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

void app_parse(const struct argp *argp, int argc, char **argv, void *payload)
{
    const char *path = find_option(argp, "recipe") ? recipe_path(argc, argv) : NULL;
    char **all;
    struct argp located = *argp;
    int n = 0;

#ifndef __SANITIZE_ADDRESS__
    (void)on_exit(leave, NULL);
#endif
    hold_standard_streams();
    be_told_by_write();
    if (argc == 2 && !strcmp(argv[1], "--print-completion")) {
        app_print_completion(argp);
        exit(fflush(stdout) ? APP_IO : APP_OK);
    }
    argp_err_exit_status = APP_USAGE;
    check_values(argp, argc, argv);
    (void)unsetenv("ARGP_HELP_FMT"); /* some of its values make argp loop for ever */
    if (path) {
        read_recipe(argp, path);
        app_reads("--recipe", path);
    }
    all = calloc((size_t)(argc + recipe.arguments + 1), sizeof *all);
    if (!all)
        exit(app_fail(APP_DEVICE, "out of memory"));
    all[n++] = argv[0];
    for (int i = 0; i < recipe.arguments; i++)
        all[n++] = recipe.argument[i];
    for (int i = 1; i < argc; i++)
        all[n++] = argv[i];
    recipe.parser = argp->parser;
    located.parser = parse_located;
    if (argp_parse(&located, n, all, 0, NULL, payload))
        exit(APP_USAGE);
    free(recipe.line);
    free(all);
}

/* ------------------------------------------------------------------ signals */

volatile sig_atomic_t app_interrupted;

/* Who wants an end sends a signal; but timeout, for one, sends it to the process and to its group, and so do
 * batch systems. What comes at once with the first is no second one. */
static void on_signal(int number)
{
    enum { AT_ONCE = 500 }; /* ms */
    static const char again[] = "interrupted again: not saved\n";
    static atomic_llong first; /* two threads may be here at once */
    long long now = (long long)(app_seconds() * 1e3) + 1, before = 0;

    if (atomic_compare_exchange_strong(&first, &before, now)) {
        app_interrupted = number;
    } else if (now - before > AT_ONCE) {
        ssize_t told = write(STDERR_FILENO, again, sizeof again - 1);

        (void)told; /* there is nobody left to tell */
        _exit(128 + number);
    }
}

void app_catch_interrupts(void)
{
    struct sigaction a = { .sa_handler = on_signal }, before;

    (void)sigemptyset(&a.sa_mask);
    (void)sigaction(SIGINT, &a, NULL);
    (void)sigaction(SIGTERM, &a, NULL);
    if (!sigaction(SIGHUP, NULL, &before) && before.sa_handler != SIG_IGN)
        (void)sigaction(SIGHUP, &a, NULL);
}

/* -------------------------------------------------------------------- files */

/* What is going to be read, and which option says so. */
static struct {
    struct input {
        const char *option;
        dev_t device;
        ino_t inode;
    } * at;
    int n;
} inputs;

void app_reads(const char *option, const char *path)
{
    struct stat st;

    if (stat(path, &st) || !S_ISREG(st.st_mode))
        return;
    inputs.at = realloc(inputs.at, (size_t)(inputs.n + 1) * sizeof *inputs.at);
    if (!inputs.at)
        exit(app_fail(APP_DEVICE, "out of memory"));
    inputs.at[inputs.n++] = (struct input){ option, st.st_dev, st.st_ino };
}

char *app_input(const struct argp_state *state, const char *option, char *path)
{
    struct stat st;

    if (!stat(path, &st) && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        app_bad_option(state, "%s %s: not a regular file", option, path);
    app_reads(option, path);
    return path;
}

bool app_exists(const char *path)
{
    struct stat st;

    return !stat(path, &st);
}

bool app_is_file(const char *path)
{
    struct stat st;

    return !stat(path, &st) && S_ISREG(st.st_mode);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

bool app_same_file(const char *a, const char *b)
{
    struct stat x, y;
    bool a_there = !stat(a, &x), b_there = !stat(b, &y), same;
    char *copy;

    if (a_there && b_there)
        return x.st_dev == y.st_dev && x.st_ino == y.st_ino;
    if (a_there || b_there || strcmp(base_name(a), base_name(b)) != 0)
        return false;
    copy = strdup(b);
    same = copy && app_lies_in(a, dirname(copy));
    free(copy);
    return same;
}

bool app_lies_in(const char *file, const char *folder)
{
    char *copy = strdup(file);
    bool in = copy && app_same_file(dirname(copy), folder);

    free(copy);
    return in;
}

FILE *app_open_text(const char *path)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC), wrong; /* a pipe would wait for its writer */
    struct stat st;
    FILE *f;

    if (fd < 0)
        return NULL;
    wrong = fstat(fd, &st) ? errno : S_ISDIR(st.st_mode) ? EISDIR : S_ISREG(st.st_mode) ? 0 : EINVAL;
    f = wrong ? NULL : fdopen(fd, "rb");
    if (!f) {
        wrong = wrong ? wrong : errno;
        (void)close(fd);
        errno = wrong;
    }
    return f;
}

char *app_read_text(const char *path, size_t most)
{
    FILE *f = app_open_text(path);
    char *text = f ? malloc(most + 1) : NULL;
    size_t n = 0;
    int wrong;

    if (!f)
        return NULL;
    errno = 0;
    if (text)
        n = fread(text, 1, most + 1, f);
    wrong = errno ? errno : n > most ? EFBIG : 0;
    (void)fclose(f);
    if (text && !wrong) {
        size_t mark = n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0;

        text[n] = 0;
        memmove(text, text + mark, n - mark + 1);
        return text;
    }
    free(text);
    errno = wrong ? wrong : ENOMEM;
    return NULL;
}

char *app_join(const char *folder, const char *name)
{
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = malloc(size);

    if (!path)
        exit(app_fail(APP_DEVICE, "out of memory"));
    (void)snprintf(path, size, "%s/%s", folder, name);
    return path;
}

char *app_beside(const char *file, const char *name)
{
    char *copy = strdup(file), *path;

    if (!copy)
        exit(app_fail(APP_DEVICE, "out of memory"));
    path = app_join(dirname(copy), name);
    free(copy);
    return path;
}

int app_make_folder(const char *path)
{
    char *copy = strdup(path);
    struct stat st;

    if (!copy)
        return app_fail(APP_DEVICE, "out of memory");
    for (char *at = copy + (*copy != 0);; at++) {
        char c = *at;

        if (c && c != '/')
            continue;
        *at = 0;
        if (mkdir(copy, 0777) && errno != EEXIST) {
            int rc = app_fail(APP_IO, "%s: %s", copy, strerror(errno));

            free(copy);
            return rc;
        }
        *at = c;
        if (!c)
            break;
    }
    free(copy);
    if (stat(path, &st) || !S_ISDIR(st.st_mode))
        return app_fail(APP_IO, "%s: exists and is no folder", path);
    return APP_OK;
}

/* A terminal, a pipe, a device is written to: a new file in its place would be the end of it. A link leads to
 * the file that is meant. */
static bool written_in_place(const char *path)
{
    struct stat st;

    return !stat(path, &st) && !S_ISDIR(st.st_mode) &&
           (!S_ISREG(st.st_mode) || (!lstat(path, &st) && S_ISLNK(st.st_mode)));
}

/* What to call a file beside `path` that is to take its place; to be freed. With a long name cut, so that
 * there is room for the ending. */
static char *temporary_of(const char *path)
{
    enum { MOST_KEPT = 100 };
    const char *name = base_name(path);
    size_t kept = strlen(name);
    char *text = NULL;

    if (kept > MOST_KEPT)
        for (kept = MOST_KEPT; kept && ((unsigned char)name[kept] & 0xc0) == 0x80;) /* inside a character */
            kept--;
    if (asprintf(&text, "%.*s.tmp.%ld", (int)(name - path + (ptrdiff_t)kept), path, (long)getpid()) < 0)
        exit(app_fail(APP_DEVICE, "out of memory"));
    return text;
}

int app_check_output(const char *option, const char *path, bool devices)
{
    char *temporary;
    struct stat st;
    int fd, rc = APP_OK;
    bool there;

    if (!*path)
        return app_fail(APP_USAGE, "%s \"\": a file needs a name", option);
    there = !stat(path, &st);
    if (!there && errno != ENOENT)
        return app_fail(APP_IO, "%s %s: cannot be written: %s", option, path, strerror(errno));
    if (there && !S_ISREG(st.st_mode) && (S_ISDIR(st.st_mode) || !devices))
        return app_fail(APP_IO, "%s %s: exists and is no regular file", option, path);
    for (int i = 0; there && i < inputs.n; i++)
        if (inputs.at[i].device == st.st_dev && inputs.at[i].inode == st.st_ino)
            return app_fail(APP_USAGE, "%s %s would replace a file that is to be read (%s)", option, path,
                            inputs.at[i].option);
    if (devices && written_in_place(path))
        return access(path, W_OK)
                   ? app_fail(APP_IO, "%s %s: cannot be written: %s", option, path, strerror(errno))
                   : APP_OK;
    temporary = temporary_of(path);
    fd = open(temporary, O_WRONLY | O_CREAT, 0666); /* what a killed process left may be there */
    if (fd < 0) {
        rc = app_fail(APP_IO, "%s %s: cannot be written: %s", option, path, strerror(errno));
    } else {
        (void)close(fd);
        (void)unlink(temporary);
    }
    free(temporary);
    return rc;
}

int app_write_file(const char *path, const char *text)
{
    bool in_place = written_in_place(path);
    char *temporary = in_place ? NULL : temporary_of(path);
    FILE *f = fopen(in_place ? path : temporary, "wb");
    int rc = APP_OK;

    if (!f || fputs(text, f) < 0 || fflush(f) || (fsync(fileno(f)) && errno != EINVAL && errno != EROFS))
        rc = app_fail(APP_IO, "%s: %s", path, strerror(errno));
    if (f && fclose(f) && !rc)
        rc = app_fail(APP_IO, "%s: %s", path, strerror(errno));
    if (!in_place) {
        if (!rc && rename(temporary, path))
            rc = app_fail(APP_IO, "%s: %s", path, strerror(errno));
        if (rc)
            (void)unlink(temporary);
    }
    free(temporary);
    return rc;
}

double app_peak_bytes(void)
{
    struct rusage r;

    return getrusage(RUSAGE_SELF, &r) ? 0 : (double)r.ru_maxrss * 1024;
}

/* ------------------------------------------------------------------- device */

nn_dtype app_precision(const struct argp_state *state, const char *text)
{
    return strcmp(app_choice(state, "precision", text), "bf16") ? NN_F32 : NN_BF16;
}

const char *app_precision_name(nn_dtype precision) { return precision == NN_BF16 ? "bf16" : "fp32"; }

int app_open(nn_device **out, const struct app_device *o)
{
    nn_device_options options = { .threads = o->threads, .isa = o->isa };
    const char *device = o->device ? o->device : "cpu";
    nn_message why;
    int rc;

    rc = nn_open(out, device, &options, &why);
    return rc ? app_fail(APP_DEVICE, "--device %s: %s", device, why.text) : APP_OK;
}
