#!/usr/bin/env bash
# Runs the benchmarks of one area, or of all. Each prints a table and writes target/bench/AREA.json. Argument: the area.
set -euo pipefail
area=$1
areas=(runtime ripsrc egress github gitlab)
cargo=${CARGO:-cargo}

if [ "$area" != all ]; then
    found=
    for known in "${areas[@]}"; do [ "$known" = "$area" ] && found=yes; done
    [ -n "$found" ] || { echo "error: AREA=$area is not known; there are: all ${areas[*]}" >&2; exit 2; }
    areas=("$area")
    # What an export costs of a server's budget belongs to the way out, and is measured by a program of its own.
    if [ "$area" = egress ]; then areas=(egress github gitlab); fi
fi
mkdir -p target/bench
# A peer that is measured in the same run: a Singer target. Where Python or its packages cannot be had it is left out, by name.
if [[ " ${areas[*]} " == *" runtime "* && ! -x target/bench/singer/bin/target-jsonl ]]; then
    { python3 -m venv target/bench/singer && target/bench/singer/bin/pip install --quiet target-jsonl==0.1.4; } ||
        echo "target-jsonl cannot be installed; its figures are left out" >&2
fi
for name in "${areas[@]}"; do
    "$cargo" build --release -p agent -p tests --bin agent --bin "bench-$name"
    "target/release/bench-$name"
done
