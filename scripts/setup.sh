#!/usr/bin/env bash
# Makes sure that the tools to build with are there, and says what to do where one is not. Installs nothing but Rust's
# own target for WebAssembly. Arguments: cargo's command, the target.
set -euo pipefail
cargo=$1 target=$2

fail() {
    printf 'error: %s\n' "$1" >&2
    shift
    printf '  %s\n' "$@" >&2
    exit 1
}

command -v "$cargo" >/dev/null || fail "cargo is not installed, or not on the PATH." \
    "Install Rust: https://rustup.rs/" \
    "If it is installed: . \"\$HOME/.cargo/env\""

needed=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
have=$("${RUSTC:-rustc}" --version | cut -d ' ' -f 2 | cut -d - -f 1)
[ "$(printf '%s\n%s\n' "$needed" "$have" | sort -V | head -n 1)" = "$needed" ] || fail \
    "Rust $have is too old: $needed or newer is needed." "Update it: rustup update stable"

command -v "${CC:-cc}" >/dev/null || fail "there is no C compiler (${CC:-cc}): SQLite and libgit2 are built from source." \
    "Debian, Ubuntu: apt install build-essential" "Fedora: dnf install gcc" "macOS: xcode-select --install"

# The allocator's own build takes no such path, and says so in a way that nobody understands.
folder=${CARGO_TARGET_DIR:-$PWD/target}
if [[ $folder = *[[:space:]]* ]]; then
    fail "the folder that is built in has a blank in its path, which the build of jemalloc does not take: $folder" \
        "Move the checkout, or build elsewhere: export CARGO_TARGET_DIR=\"\$HOME/.cache/agent-target\""
fi

libraries=$("${RUSTC:-rustc}" --print target-libdir --target "$target" 2>/dev/null || true)
if [ -n "$libraries" ] && compgen -G "$libraries/libstd-*" >/dev/null; then
    exit 0
fi
if command -v rustup >/dev/null; then
    echo "Adding Rust's target $target"
    rustup target add "$target" || fail "the target $target could not be added." "Try it by hand: rustup target add $target"
else
    fail "Rust's target $target is not installed, and there is no rustup to add it." \
        "Install the package of your system that holds it (Debian, Ubuntu: libstd-rust-dev-wasm32; Fedora: rust-std-static-$target)," \
        "or install Rust with https://rustup.rs/"
fi
