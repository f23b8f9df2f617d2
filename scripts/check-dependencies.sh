#!/usr/bin/env bash
# Holds what each package must be unable to reach, and what must be nowhere in the agent.
set -euo pipefail
cargo=${CARGO:-cargo}
wrong=0

# package, target, crates that it must not reach
without() {
    local package=$1 target=$2 tree
    shift 2
    tree=$("$cargo" tree --locked --offline -p "$package" --target "$target" -e normal,build --prefix none --format '{lib}' 2>/dev/null ||
        "$cargo" tree --locked -p "$package" --target "$target" -e normal,build --prefix none --format '{lib}')
    for banned in "$@"; do
        if grep -qx -- "${banned//-/_}" <<<"$tree"; then
            echo "error: $package reaches $banned; see who brings it: cargo tree -p $package -i $banned" >&2
            wrong=1
        fi
    done
}

host=$("${RUSTC:-rustc}" -vV | sed -n 's/^host: //p')
# TLS is rustls with ring, and libgit2 has neither TLS nor SSH of its own: nothing of the system's is linked.
without agent "$host" openssl-sys native-tls aws-lc-rs aws-lc-sys libssh2-sys
# Guests' wasi:http is served by the agent's own client: of that crate there are the types, and no client beside ours.
if ("$cargo" tree --locked --offline -p agent --target "$host" -e features -i wasmtime-wasi-http 2>/dev/null ||
    "$cargo" tree --locked -p agent --target "$host" -e features -i wasmtime-wasi-http) | grep -q default-send-request; then
    echo "error: agent builds wasmtime-wasi-http's own client; leave its feature default-send-request out" >&2
    wrong=1
fi
# The history reader is a library of its own: synchronous, without a database, and it clones nothing.
without ripsrc "$host" agent tokio reqwest hyper wasmtime rusqlite git2
# The simulators are built in seconds, and share nothing with what is tested against them.
for simulator in $(sed -n 's/^name = "\(.*simulator\)"$/\1/p' tests/*simulator/Cargo.toml | sort -u); do
    without "$simulator" "$host" agent agent-sdk integration-model tokio reqwest hyper wasmtime rusqlite git2
done
# A guest reaches the host through the contract and through nothing else.
guests=$(sed -n 's/^name = "\(.*\)"$/\1/p' integrations/*/Cargo.toml tests/guests/*/Cargo.toml)
for guest in agent-sdk $guests; do
    without "$guest" wasm32-wasip2 agent tokio reqwest hyper wasmtime rusqlite git2
done

[ "$wrong" -eq 0 ] && echo "dependencies: nothing reaches what it must not"
exit "$wrong"
