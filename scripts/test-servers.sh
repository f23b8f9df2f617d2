#!/usr/bin/env bash
# Finds what tests need of the system. What is not there is skipped by name and counted; where CI is set it is a failure.
# A test that needs one of these asks for it under the same name and is skipped for the same reason.
set -euo pipefail

skipped=0
need() { # name, command, what for, how to get it
    if command -v "$2" >/dev/null; then
        printf 'found   %-8s %s\n' "$1" "$("$2" --version 2>/dev/null | head -n 1)"
    else
        printf 'skipped %s: there is no %s, which %s; %s\n' "$1" "$2" "$3" "$4"
        skipped=$((skipped + 1))
    fi
}

need git git "makes and judges the repositories of the tests" "install the package git"
need cc cc "compiles what stands for a power failure in the tests" "install the package gcc or clang"
need python python3 "builds guests in Python, and tests their SDK" "install the packages python3 and python3-venv"
need node node "builds guests in JavaScript, and tests their SDK" "install the packages nodejs and npm"

if [ "$skipped" -gt 0 ]; then
    if [ "${CI:-false}" != false ] && [ -n "${CI:-}" ]; then
        echo "error: $skipped skipped; nothing may be skipped where CI is set" >&2
        exit 1
    fi
    echo "$skipped skipped"
fi
