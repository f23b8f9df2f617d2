#!/usr/bin/env bash
# Runs the example's export for one repository, a path or a URL, and grants exactly what that needs. Arguments: the
# agent, the folder of components, the repository.
set -euo pipefail
agent=$1 integrations=$2 repo=$3

case $repo in
    http://* | https://*)
        # Scheme, host and port of the URL, without a user: the rule to grant. The rest of it is the repository's.
        scheme=${repo%%://*} rest=${repo#*://}
        host=${rest%%/*}
        REPO=$repo
        REPO_RULE=$scheme://${host##*@}
        export REPO REPO_RULE
        ;;
    *://* | *@*:*)
        echo "error: REPO=$repo: only http and https URLs, and paths on this machine; use the https URL instead" >&2
        exit 2
        ;;
    *)
        [ -d "$repo" ] || { echo "error: REPO=$repo: there is no such folder; give a path or an https URL" >&2; exit 2; }
        REPO=$(cd "$repo" && pwd)
        REPO_PATH=$REPO
        export REPO REPO_PATH
        ;;
esac
if [ -n "${OUT:-}" ]; then
    # Paths in the example are relative to it; on the command line they are relative to where one is.
    case $OUT in /*) ;; *) OUT=$PWD/$OUT ;; esac
    export OUT
fi
exec "$agent" export -c examples/agent.yaml --integrations-dir "$integrations"
