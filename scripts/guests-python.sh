#!/usr/bin/env bash
# Builds the components of tests/guests-python, each with its own folder, when their sources or the SDK have changed. Sets up
# the toolchain in the target folder; where it cannot be had they are skipped by name, which is a failure where CI is set.
# Argument: the target folder.
set -euo pipefail
source scripts/guests-lib.sh
target=$1
tools=$target/tools/python
version=$(sed -n 's/^build = \["componentize-py==\(.*\)"\]$/\1/p' guest-sdk/python/pyproject.toml)
python=${PYTHON:-python3}

install() {
    if [ -x "$tools/bin/componentize-py" ] && [ "$(cat "$tools/version" 2>/dev/null)" = "$version" ]; then
        return 0
    fi
    command -v "$python" >/dev/null || { why="there is no $python"; return 1; }
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 9))' || { why="$python is older than 3.9"; return 1; }
    echo "Installing componentize-py $version"
    rm -rf "$tools"
    "$python" -m venv "$tools" >/dev/null || { why="$python cannot make an environment (the package python3-venv)"; return 1; }
    "$tools/bin/pip" install --quiet --disable-pip-version-check "componentize-py==$version" ||
        { why="componentize-py $version could not be installed"; return 1; }
    echo "$version" >"$tools/version"
}

build() { # guest, component
    PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=guest-sdk/python \
        "$tools/bin/python" -m agent_sdk build "tests/guests-python/$1/app.py" -o "$2"
}

build_guests python guest-sdk/python/agent_sdk "componentize-py $version"
