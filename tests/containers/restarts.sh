#!/bin/sh
# 3,000 questions, judged and answered by four workers, while every service is restarted in turn, a worker is killed, and
# all containers are taken down and come back. Needs the stack of docker-compose.yml up:
#   docker compose up --wait && sh tests/containers/restarts.sh
# It leaves the stack up, with four slow workers; `docker compose up --wait` makes it quick again.
set -eu
cd "$(dirname "$0")/../.."

name=restarts
. tests/containers/stack.sh

# Until every service is healthy; the seconds go to the person.
up() {
    started=$(date +%s)
    docker compose up --detach --wait --wait-timeout 180 --scale worker=4 > /dev/null 2>&1 || fail "the stack did not come up"
    echo "restarts: healthy $(($(date +%s) - started)) s later"
}

echo "restarts: four workers and a slow model, so that there is a middle of the job to strike in"
settings=$(mktemp)
trap 'rm -f "$settings"' EXIT
printf '%s\n' QUESTMILL_CALLS_IN_FLIGHT=2 QUESTMILL_BATCHES_AT_ONCE=2 QUESTMILL_REHEARSAL_LATENCY=1.5 > "$settings"
export QUESTMILL_SETTINGS="$settings"
up
id=$(job submit 3000 generate validate answer) || fail "the job was not accepted"
victim=$(job middle "$id") || fail "there was no middle of the job to strike in"

echo "restarts: killing worker $victim"
docker kill "$victim" > /dev/null
for service in redis postgres rehearsal reconciler flower api worker; do
    job running "$id" || fail "nothing was left to strike at"
    echo "restarts: $service"
    docker compose restart "$service" > /dev/null 2>&1 || fail "$service did not restart"
    up
done

job running "$id" || fail "nothing was left to strike at"
echo "restarts: down and up in mid-job"
started=$(date +%s)
docker compose down > /dev/null 2>&1 || fail "it did not go down"
echo "restarts: down took $(($(date +%s) - started)) s"
up
job end "$id" || fail "the job did not end exact"
echo "restarts: passed"
