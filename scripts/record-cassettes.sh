#!/usr/bin/env bash
# Records the cassettes of the integrations anew, and writes what comes of them beside them: the mock's against nothing, github's
# against the simulator. To be run when an integration has changed on purpose; `git diff integrations/*/cassettes` says what
# that means. What a person has made by hand (mock/cassettes/asked.har) stays. Arguments: the folders of programs and of guests.
set -euo pipefail
agent=$(realpath "$1/agent")
simulator=$(realpath "$1/github-simulator")
guests=$(realpath "$2")
# The same each time, so that recording again changes little.
port=41967
# The simulator's; of an invented organisation.
token=not-a-real-token

record() { # integration, cassette, and the words of the call
    local integration=$1 cassette=$2
    shift 2
    "$agent" run-wasm "$guests/integration_$integration.wasm" "$@" --quiet --records none --skip-git \
        --record "integrations/$integration/cassettes/$cassette.har" >/dev/null
    echo "recorded $integration: $cassette"
}

repo='{"ref_id": "R1", "name": "team/tools", "url": "https://git.mock.invalid/team/tools"}'
record mock first export projects=2 records=4 checkpoint_every=2
record mock repositories export projects=1 records=1 "repos:=[$repo]"
record mock projects onboard projects projects=2
record mock title mutate issue.set_title '{"ref_id": "P1-1", "title": "New"}'
record mock event webhook --header 'x-mock-event: ping'
record mock tried validate-config records=1

"$simulator" --port $port --repositories 2 --issues 6 --pull-requests 3 --comments 10 --review-comments 4 --users 6 \
    --token "$token" >/dev/null &
running=$!
trap 'kill "$running" 2>/dev/null || true' EXIT
for _ in $(seq 100); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
    sleep 0.1
done
export SIMULATOR_TOKEN=$token
github() { # cassette, and the words of the call
    local cassette=$1
    shift
    record github "$cassette" "$@" "url=http://127.0.0.1:$port" 'organizations:=["acme"]' --allow-asked \
        --allow-private 127.0.0.1 --credential token=env:SIMULATOR_TOKEN@127.0.0.1
}
github first export
github repos onboard repos
github tried validate-config

for integration in mock github; do
    "$agent" test "integrations/$integration" --component "$guests/integration_$integration.wasm" --update
done
