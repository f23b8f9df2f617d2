#!/usr/bin/env bash
# Tests the jira integration against Jira's own description of its REST API, which a package of the Rust registry carries
# (jira-api-v2, of which nothing is built). It is fetched into the target folder. Where it cannot be had the tests are skipped by
# name, which is a failure where CI is set. Argument: the target folder.
set -euo pipefail
target=$1
cargo=${CARGO:-cargo}
tools=$target/tools/jira
version=1.0.1

skip() { # why
    echo "skipped the tests of jira against its description: $1"
    if [ "${CI:-false}" != false ] && [ -n "${CI:-}" ]; then
        echo "error: nothing may be skipped where CI is set" >&2
        exit 1
    fi
    exit 0
}

if [ ! -e "$tools/swagger-$version.json" ]; then
    mkdir -p "$tools/package/src"
    : >"$tools/package/src/lib.rs"
    printf '[package]\nname = "fetched"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\njira-api-v2 = "=%s"\n[workspace]\n' \
        "$version" >"$tools/package/Cargo.toml"
    "$cargo" vendor --quiet --manifest-path "$tools/package/Cargo.toml" "$tools/vendor" >/dev/null ||
        skip "the package could not be fetched"
    cp "$tools/vendor/jira-api-v2/swagger.json" "$tools/swagger-$version.json"
    # What it depends on is not wanted.
    rm -rf "$tools/vendor" "$tools/package"
fi
tools=$(cd "$tools" && pwd)
AGENT_JIRA_DESCRIPTION=$tools/swagger-$version.json "$cargo" test --quiet -p integration-jira -- --ignored described::
