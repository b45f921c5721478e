# Of smoke.sh and restarts.sh, which source it from the root of the project and say their `name`.

fail() {
    printf '%s: %s\n' "$name" "$*" >&2
    docker compose ps --all >&2
    docker compose logs --tail 40 api reconciler worker >&2
    exit 1
}

# The steps that speak HTTP run in the image under test: the host may have nothing but Docker.
job() {
    docker compose exec -T api python - "$@" < tests/containers/job.py
}
