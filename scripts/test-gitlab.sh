#!/usr/bin/env bash
# Tests the gitlab integration against what others wrote: answers and webhooks of real servers that go-gitlab is tested with, from
# a Debian package that is fetched and unpacked in the target folder, and not installed. Where it cannot be had the tests are skipped by name, which is a failure
# where CI is set. Argument: the target folder.
set -euo pipefail
target=$1
cargo=${CARGO:-cargo}
tools=$target/tools/gitlab
package=golang-github-xanzy-go-gitlab-dev

skip() { # why
    echo "skipped the tests of gitlab against what others wrote: $1"
    if [ "${CI:-false}" != false ] && [ -n "${CI:-}" ]; then
        echo "error: nothing may be skipped where CI is set" >&2
        exit 1
    fi
    exit 0
}

if [ ! -d "$tools/testdata" ]; then
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || skip "there is no apt-get or no dpkg-deb"
    rm -rf "$tools"
    mkdir -p "$tools"
    (cd "$tools" && apt-get download -qq "$package") 2>"$tools/apt.log" ||
        skip "the package $package could not be fetched ($tools/apt.log says why; perhaps apt-get update helps)"
    dpkg-deb -x "$tools"/*.deb "$tools/unpacked"
    found=$(find "$tools/unpacked" -type d -name testdata | head -n 1)
    [ -n "$found" ] || skip "the package $package has no test data any more"
    mv "$found" "$tools/testdata"
    rm -rf "$tools/unpacked" "$tools"/*.deb
fi
recorded=$(cd "$tools/testdata" && pwd)
AGENT_GITLAB_RECORDED=$recorded "$cargo" test --quiet -p integration-gitlab -- --ignored recorded::
