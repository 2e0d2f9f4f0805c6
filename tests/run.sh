#!/bin/sh
# SPDX-License-Identifier: MIT
#
# tests/run.sh PROGRAM...: runs test programs JOBS at a time (2), each for at most LIMIT seconds (300),
# and prints one line for each. Logs are kept beside the programs. The last line counts programs:
#
#     N passed, N failed, N skipped
#
# A program that ends with 77 is skipped: it could not test anything here. A program that leaves out a part
# of its tests prints a line that begins with "SKIP" and says what it needs; these lines are repeated here.
set -u

jobs=${JOBS:-2}
limit=${LIMIT:-300}

if [ "${1-}" = --one ]; then
    program=$2
    log=$program.log
    start=$(date +%s.%N)
    CK_VERBOSITY=normal timeout -k 10 "$limit" "$program" >"$log" 2>&1 </dev/null
    status=$?
    end=$(date +%s.%N)
    case $status in
    0) word=ok ;;
    77) word=skipped ;;
    124 | 137) word=TIMEOUT ;;
    *) word=FAILED ;;
    esac
    checks=$(sed -n 's/.*Checks: \([0-9]*\),.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
    # A program that ran nothing has shown nothing.
    if [ "$word" = ok ] && [ "$checks" -eq 0 ]; then
        word=EMPTY
    fi
    awk -v w="$word" -v p="$program" -v c="$checks" -v a="$start" -v b="$end" \
        'BEGIN { printf "%-8s %-56s %4d checks %7.1f s\n", w, p, c, b - a }'
    grep '^SKIP' "$log" | sort -u | sed 's/^/         /'
    case $word in
    ok) echo "$program" >>"$NN_RUN/passed" ;;
    skipped) echo "$program" >>"$NN_RUN/skipped" ;;
    *) echo "$program" >>"$NN_RUN/failed" ;;
    esac
    exit 0
fi

if [ $# -eq 0 ]; then
    echo "tests/run.sh: no test program was named" >&2
    exit 2
fi
NN_RUN=$(mktemp -d) || exit 4
export NN_RUN
trap 'rm -rf "$NN_RUN"' EXIT
trap 'exit 130' INT TERM
for list in passed failed skipped; do
    : >"$NN_RUN/$list"
done

printf '%s\n' "$@" | xargs -n 1 -P "$jobs" "$0" --one

while read -r program; do
    echo
    echo "==== $program: the last lines of $program.log"
    tail -n 60 "$program.log"
done <"$NN_RUN/failed"
passed=$(awk 'END { print NR }' "$NN_RUN/passed")
failed=$(awk 'END { print NR }' "$NN_RUN/failed")
skipped=$(awk 'END { print NR }' "$NN_RUN/skipped")
echo
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ $((passed + skipped)) -eq $# ]
