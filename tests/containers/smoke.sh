#!/bin/sh
# 500 questions, exact in every cell, by four workers of which one, then all are stopped midway. Needs the stack of docker-compose.yml up:
#   docker compose up --wait && sh tests/containers/smoke.sh
# It leaves the stack up, with four slow workers; `docker compose up --wait` makes it quick again.
set -eu
cd "$(dirname "$0")/../.."

name=smoke
. tests/containers/stack.sh

echo "smoke: four workers, few calls at once and a slow model, so that there is a middle of the job to strike in"
settings=$(mktemp)
trap 'rm -f "$settings"' EXIT
printf '%s\n' QUESTMILL_CALLS_IN_FLIGHT=2 QUESTMILL_BATCHES_AT_ONCE=2 QUESTMILL_REHEARSAL_LATENCY=0.8 > "$settings"
export QUESTMILL_SETTINGS="$settings"
docker compose up --detach --wait --wait-timeout 180 --scale worker=4 > /dev/null 2>&1 ||
    fail "the stack did not come up"
workers=$(docker compose ps --quiet --status running worker | wc -l)
[ "$workers" -eq 4 ] || fail "$workers workers run, not 4"

id=$(job submit 500) || fail "the job was not accepted"
victim=$(job middle "$id") || fail "there was no middle of the job to strike in"

echo "smoke: stopping worker $victim"
started=$(date +%s)
docker stop "$victim" > /dev/null
echo "smoke: it took $(($(date +%s) - started)) s to finish its calls and exited $(docker inspect --format '{{.State.ExitCode}}' "$victim")"
[ "$(docker inspect --format '{{.State.ExitCode}}' "$victim")" -eq 0 ] || fail "the stopped worker did not end cleanly"
job stopped "$id" "$victim" || fail "the stopped worker kept its batches"

echo "smoke: stopping everything in mid-run, and starting it again"
started=$(date +%s)
docker compose stop > /dev/null 2>&1 || fail "it did not stop"
for container in $(docker compose ps --all --quiet worker); do
    [ "$(docker inspect --format '{{.State.ExitCode}}' "$container")" -eq 0 ] || fail "a worker did not end cleanly"
done
echo "smoke: it took $(($(date +%s) - started)) s, and every worker exited 0"
docker compose up --detach --wait --wait-timeout 180 --scale worker=4 > /dev/null 2>&1 ||
    fail "the stack did not come up again"

job end "$id" in-order || fail "the job did not end exact"
echo "smoke: passed"
