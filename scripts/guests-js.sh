#!/usr/bin/env bash
# Builds the components of tests/guests-js, each with its own folder, when their sources or the SDK have changed. Sets up the
# toolchain in the target folder; where it cannot be had they are skipped by name, which is a failure where CI is set.
# Argument: the target folder.
set -euo pipefail
source scripts/guests-lib.sh
target=$1
tools=$target/tools/js
version=$(sed -n "s/^const PINNED = \"\(.*\)\";$/\1/p" guest-sdk/js/build.js)

install() {
    if [ ! -e "$tools/node_modules/componentize-qjs" ] || [ "$(cat "$tools/version" 2>/dev/null)" != "$version" ]; then
        command -v node >/dev/null || { why="there is no node"; return 1; }
        command -v npm >/dev/null || { why="there is no npm"; return 1; }
        node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' || { why="node is older than 18"; return 1; }
        echo "Installing componentize-qjs $version"
        rm -rf "$tools"
        mkdir -p "$tools"
        echo '{ "private": true, "type": "module" }' >"$tools/package.json"
        npm install --prefix "$tools" --silent --no-audit --no-fund --save-exact "componentize-qjs@$version" ||
            { why="componentize-qjs $version could not be installed"; return 1; }
        echo "$version" >"$tools/version"
    fi
    # As an installed package: the toolchain follows no link out of the folder that it is given.
    rm -rf "$tools/node_modules/agent-sdk"
    mkdir -p "$tools/node_modules/agent-sdk"
    cp -r guest-sdk/js/{index.js,build.js,package.json,src} wit/package.wit "$tools/node_modules/agent-sdk/"
}

build() { # guest, component
    local component
    component=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
    rm -rf "${tools:?}/$1"
    cp -r "tests/guests-js/$1" "$tools/$1"
    (cd "$tools" && node node_modules/agent-sdk/build.js build "$1/app.js" -o "$component")
}

build_guests js guest-sdk/js "componentize-qjs $version"
