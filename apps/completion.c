/* SPDX-License-Identifier: MIT
 *
 * Completion for bash, printed by each program from its own table of options (--print-completion), so that
 * the two cannot differ. What follows an option is told by its argument's name: FILE and DIR are completed as
 * such, names with bars between them ("adam|sgd") are the choices, anything else is left to the user.
 */
#include "app.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum kind { OPTIONS, FILES, FOLDERS, VALUES };

static bool is_of(const struct argp_option *o, enum kind kind)
{
    bool file = o->arg && strstr(o->arg, "FILE"), folder = !file && o->arg && strstr(o->arg, "DIR");

    switch (kind) {
    case OPTIONS: return true;
    case FILES: return file;
    case FOLDERS: return folder;
    default: return !file && !folder && o->arg && strchr(o->arg, '|');
    }
}

/* As words for OPTIONS, else as patterns or whole lines of the case statement. Returns how many there are. */
static int print_options(const struct argp *argp, enum kind kind, int before)
{
    int n = before;

    for (const struct argp_option *o = argp->options; o && (o->name || o->key || o->doc || o->group); o++) {
        if (!o->name || (o->flags & (OPTION_ALIAS | OPTION_HIDDEN)) || !is_of(o, kind))
            continue;
        if (kind == OPTIONS)
            (void)printf("--%s%s ", o->name, o->arg ? "=" : "");
        else
            (void)printf(kind == VALUES || !n ? "    --%s" : "|--%s", o->name);
        if (kind != OPTIONS && isgraph(o->key))
            (void)printf("|-%c", o->key);
        if (kind == VALUES)
            (void)printf(") words='%s' ;;\n", o->arg);
        n++;
    }
    for (const struct argp_child *c = argp->children; c && c->argp; c++)
        n = print_options(c->argp, kind, n);
    return n;
}

void app_print_completion(const struct argp *argp)
{
    const char *program = program_invocation_short_name;

    (void)printf("# bash completion for %s; made by %s --print-completion\n"
                 "_%s()\n"
                 "{\n"
                 "    local word=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD-1]} words=\n"
                 "    [ \"$word\" != = ] || word=\n"
                 "    [ \"$option\" != = ] || option=${COMP_WORDS[COMP_CWORD-2]}\n"
                 "    case $option in\n",
                 program, program, program);
    if (print_options(argp, FOLDERS, 0))
        (void)printf(") mapfile -t COMPREPLY < <(compgen -d -- \"$word\"); return ;;\n");
    if (print_options(argp, FILES, 0))
        (void)printf(") mapfile -t COMPREPLY < <(compgen -f -- \"$word\"); return ;;\n");
    (void)print_options(argp, VALUES, 0);
    (void)printf("    *)\n"
                 "        case $word in\n"
                 "        -*) words='");
    (void)print_options(argp, OPTIONS, 0);
    (void)printf("--help --usage --version' ;;\n"
                 "        *) mapfile -t COMPREPLY < <(compgen -f -- \"$word\"); return ;;\n"
                 "        esac ;;\n"
                 "    esac\n"
                 "    mapfile -t COMPREPLY < <(compgen -W \"${words//|/ }\" -- \"$word\")\n"
                 "    [[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace\n"
                 "}\n"
                 "complete -o filenames -F _%s %s\n",
                 program, program);
}
