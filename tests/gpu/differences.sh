#!/bin/sh
# SPDX-License-Identifier: MIT
#
# differences.sh A B BOUND: two tables with a header have the same names in their first column, in the same order, and
# no number of the last column differs by more than BOUND. Prints the largest difference.
set -eu
awk -F, -v bound="$3" '
    NR == FNR { path[FNR] = $1; p[FNR] = $NF; rows = FNR; next }
    $1 != path[FNR] { print "row " FNR " has another name"; bad = 1 }
    FNR > 1 { d = $NF - p[FNR]; if (d < 0) d = -d; if (d > most) most = d }
    FNR > 1 && $NF !~ /^[0-9]/ { print "row " FNR " has no number"; bad = 1 }
    END {
        printf "%d rows, the largest difference is %g, allowed %g\n", FNR - 1, most, bound
        exit bad || FNR != rows || rows < 2 || most > bound
    }' "$1" "$2"
