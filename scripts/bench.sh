#!/usr/bin/env bash
# Runs the benchmarks of one area, or of all. Each prints a table and writes target/bench/AREA.json. Argument: the area.
set -euo pipefail
area=$1
areas=(runtime)
cargo=${CARGO:-cargo}

if [ "$area" != all ]; then
    found=
    for known in "${areas[@]}"; do [ "$known" = "$area" ] && found=yes; done
    [ -n "$found" ] || { echo "error: AREA=$area is not known; there are: all ${areas[*]}" >&2; exit 2; }
    areas=("$area")
fi
mkdir -p target/bench
for name in "${areas[@]}"; do
    "$cargo" bench -p tests --bench "$name"
done
