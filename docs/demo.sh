#!/usr/bin/env bash
# The main job on this machine: an agent streams its answer, its worker is killed, the answer arrives all the same.
# `make demo` runs this. Everything lives in .demo, listens on loopback only, and is gone at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

# Nothing of yours is used: no provider keys, no settings, no other stack.
unset $(compgen -e | grep -E '^(HOLDFAST_|TEMPORAL_|OPENAI_|ANTHROPIC_)' || true)
export PATH="$PWD/.venv/bin:$PATH" HOLDFAST_CONFIG=/dev/null HOLDFAST_DATA_DIR="$PWD/.demo"
# How long a silent worker is believed to live; 15 s unless told otherwise.
export HOLDFAST_HEARTBEAT_TIMEOUT_SECONDS=5

clean_up() {
  kill %% 2>/dev/null || true
  [ ! -e .demo ] || holdfast reset --yes >/dev/null 2>&1 || true
  rm -rf .demo
}
trap clean_up EXIT
trap 'exit 130' INT TERM

BOLD='' PLAIN=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then BOLD=$'\033[1m' PLAIN=$'\033[0m'; fi
say() { printf '\n%s# %s%s\n' "$BOLD" "$*" "$PLAIN"; }
typed() { printf '$ %s\n' "$*"; }
show() { typed "$*"; "$@"; }
# Reads a JSON document `it` from stdin: json 'it["items"][0]["id"]'
json() { python -c "import json, sys; it = json.load(sys.stdin); print($1)"; }

clean_up
say "Everything on this machine: PostgreSQL, Temporal, API, workers, and a scripted model in place of a real one"
show holdfast up -d
show holdfast agents list

say "An agent answers"
typed 'holdfast run demo "hello"'
holdfast run demo "hello"

say "A long answer. Its worker is killed in the middle of it; the stream stays open and attempt 2 brings the answer"
typed 'holdfast run demo "Count. [[emit 120 @15]]"'
answer=$(mktemp)
holdfast run demo "Count. [[emit 120 @15]]" > >(tee "$answer") &
run=$!
until [ -s "$answer" ]; do kill -0 "$run"; sleep 0.1; done
sleep 3
worker=$(holdfast status -o json | json 'next(p["identity"]["pid"] for p in it["processes"] if p["name"] == "runtime-worker")')
printf '\n'
show kill -9 "$worker"
wait "$run"
rm -f "$answer"

execution=$(holdfast executions list --limit 1 -o json | json 'it["items"][0]["id"]')
say "What happened, as the event log has it: numbered without a gap, two attempts, one end"
show holdfast executions logs "$execution"

say "The same execution in Temporal: references and short texts only"
temporal=$(holdfast status -o json | json 'it["temporal_address"]')
show temporal workflow show --address "$temporal" --workflow-id "agent-execution/$execution"

say "Everything stops; the data would stay"
show holdfast down
