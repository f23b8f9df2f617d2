#!/usr/bin/env bash
# Holds which way the arrows point: the tests named `tidy`, which read every `use crate::…`, every card and every path in
# the map. That there are none is a failure too: a check that checks nothing is worse than none.
set -euo pipefail
cargo=${CARGO:-cargo}
# Not piped: a reader that has seen enough would end the writer, and so fail the check.
listed=$("$cargo" test --quiet --test all -- --list tidy)
[[ $listed == *": test"* ]] || {
    echo "error: there is no test named tidy; the layers are not checked" >&2
    exit 1
}
exec "$cargo" test --quiet --test all -- tidy
