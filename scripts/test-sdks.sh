#!/usr/bin/env bash
# Runs the tests of the Python and JavaScript SDKs, and those of their templates, natively. Where a language is not there they
# are skipped by name, which is a failure where CI is set.
set -euo pipefail
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A template as `agent new` fills it.
fill() { # language
    cp -r "host/agent/templates/$1" "$work/$1"
    find "$work/$1" -type f -exec sed -i.bak -e 's/{{name}}/my-issues/g' -e 's/{{title}}/My issues/g' -e 's/{{sdk[_a-z]*}}/"sdk"/g' {} +
}

skipped=0
need() { # name, whether it is there, what is missing
    if eval "$2"; then return 0; fi
    echo "skipped the tests of the $1 SDK: there is no $3"
    skipped=$((skipped + 1))
    return 1
}

if need Python '"$python" -c "import sys; sys.exit(sys.version_info < (3, 9))" 2>/dev/null' "$python from 3.9"; then
    export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$PWD/guest-sdk/python
    "$python" -m unittest discover -q -s guest-sdk/python/tests
    fill python
    "$python" -m unittest discover -q -s "$work/python"
fi
# Silent as long as all is well: the reporter tells of each test.
if need JavaScript 'node -e "process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)" 2>/dev/null' "node from 18"; then
    fill js
    mkdir "$work/js/node_modules"
    ln -s "$PWD/guest-sdk/js" "$work/js/node_modules/agent-sdk"
    said=$(node --test guest-sdk/js/tests "$work/js/tests" 2>&1) || { echo "$said"; exit 1; }
    echo "$said" | grep -E '^# (tests|pass|fail) '
fi

if [ "$skipped" -gt 0 ]; then
    if [ "${CI:-false}" != false ] && [ -n "${CI:-}" ]; then
        echo "error: $skipped skipped; nothing may be skipped where CI is set" >&2
        exit 1
    fi
    echo "$skipped skipped"
fi
