#!/usr/bin/env bash
# Tests the github integration against what others wrote: GitHub's GraphQL schema, its description of REST (asked through Prism),
# recorded traffic and recorded webhooks, from npm packages that are installed in the target folder. Where node or they cannot be had the tests are skipped by name, which is
# a failure where CI is set. Argument: the target folder.
set -euo pipefail
target=$1
cargo=${CARGO:-cargo}
tools=$target/tools/github
packages="@octokit/graphql-schema@15.26.1 @octokit/webhooks-examples@7.6.1
    @octokit/fixtures@23.1.2 @octokit/openapi@23.0.2 @stoplight/prism-cli@5.14.2 graphql@16.15.0"

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
    # Of 400 MB of descriptions a few paths are kept.
    node integrations/github/tests/recorded.mjs describe "$tools"
    rm -rf "$tools/node_modules/@octokit/openapi"
    echo "$packages" >"$tools/version"
fi
tools=$(cd "$tools" && pwd)
node integrations/github/tests/recorded.mjs lay-out "$tools"
port=$(node integrations/github/tests/recorded.mjs port)
node "$tools/node_modules/@stoplight/prism-cli/dist/index.js" mock --multiprocess false --host 127.0.0.1 --port "$port" \
    "$tools/openapi.json" >"$tools/prism.log" 2>&1 &
prism=$!
trap 'kill "$prism" 2>/dev/null || true' EXIT
# The test waits until Prism listens, and says where its log is if it does not.
AGENT_GITHUB_PRISM=127.0.0.1:$port AGENT_GITHUB_RECORDED=$tools "$cargo" test --quiet -p integration-github -- --ignored recorded::
node integrations/github/tests/recorded.mjs validate "$tools"
