#!/usr/bin/env bash
# Tests the github integration against what others wrote: GitHub's GraphQL schema, recorded traffic and recorded webhooks, from
# npm packages that are installed in the target folder. Where node or they cannot be had the tests are skipped by name, which is
# a failure where CI is set. Argument: the target folder.
set -euo pipefail
target=$1
cargo=${CARGO:-cargo}
tools=$target/tools/github
packages="@octokit/graphql-schema@15.26.1 @octokit/webhooks-examples@7.6.1 @octokit/webhooks-methods@6.0.0
    @octokit/fixtures@23.1.2 graphql@16.15.0"

skip() { # why
    echo "skipped the tests of github against what others wrote: $1"
    if [ "${CI:-false}" != false ] && [ -n "${CI:-}" ]; then
        echo "error: nothing may be skipped where CI is set" >&2
        exit 1
    fi
    exit 0
}

command -v npm >/dev/null || skip "there is no npm"
node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' 2>/dev/null || skip "there is no node from 18"
if [ "$(cat "$tools/version" 2>/dev/null)" != "$packages" ]; then
    rm -rf "$tools"
    mkdir -p "$tools"
    echo '{ "private": true }' >"$tools/package.json"
    # shellcheck disable=SC2086 # a list of words
    npm install --prefix "$tools" --silent --no-audit --no-fund --save-exact $packages ||
        skip "its npm packages could not be installed"
    echo "$packages" >"$tools/version"
fi
tools=$(cd "$tools" && pwd)
node integrations/github/tests/recorded.mjs lay-out "$tools"
AGENT_GITHUB_RECORDED=$tools "$cargo" test --quiet -p integration-github -- --ignored recorded::
node integrations/github/tests/recorded.mjs validate "$tools"
