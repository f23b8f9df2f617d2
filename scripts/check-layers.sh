#!/usr/bin/env bash
# Holds which way the arrows point: the tests that read every `use crate::…`, every card and every path in the map.
set -euo pipefail
exec "${CARGO:-cargo}" test --quiet -p tests --test all -- tidy
