"""What can be wrong although everything answers: no key, no worker, clocks apart, jobs that wait for a person."""

from collections.abc import Iterator
from datetime import UTC, datetime

from cli.connection import Client
from cli.doctor_check import Check, Verdict
from cli.plain_words import ApiProblem

# Leases go by the database's clock alone; logs and provider limits are what suffers.
CLOCKS_APART_SECONDS = 5
MOST_JOBS = 5
# The smallest job there is: planning it tells which models the running workers can call, and writes nothing.
PROBE_SPEC = {
    "dataset": "doctor",
    "mix": {"domains": {"math": 1}, "difficulties": {"easy": {"token_share": 1, "mean_tokens": 15}}},
}


def clock_check(whose: str, theirs: datetime | None, ours: datetime | None = None) -> Check:
    """How far another host's clock is from this one's."""
    name = f"clock of the {whose}"
    if theirs is None:
        return Check(name, Verdict.NOTE, "not told")
    apart = ((ours or datetime.now(UTC)) - theirs).total_seconds()
    if abs(apart) <= CLOCKS_APART_SECONDS:
        return Check(name, Verdict.OK, "agrees with this machine's")
    way = "behind" if apart > 0 else "ahead of"
    return Check(
        name, Verdict.NOTE, f"{abs(apart):.0f} s {way} this machine's: set both by NTP, or logs and times mislead"
    )


def key_check(client: Client) -> Check:
    """Whether the API lets us in, by QUESTMILL_API_KEY where it asks for one."""
    try:
        session = client.session()
    except ApiProblem as problem:
        return Check("QUESTMILL_API_KEY", Verdict.MISSING, str(problem).rstrip("."))
    if session["key"]:
        name, scope = session["key"]["name"], session["key"]["scope"]
        return Check("QUESTMILL_API_KEY", Verdict.OK, f"is taken: {name}, of the scope {scope}")
    if session["required"]:
        told = "not set, and the API needs a key: ./run keys create makes one"
        return Check("QUESTMILL_API_KEY", Verdict.MISSING, told)
    return Check("QUESTMILL_API_KEY", Verdict.OK, "not set; the API is on this machine only and needs none")


def workers_check(client: Client) -> Check:
    """Whether a worker has reported lately, with a key for some model."""
    try:
        planned = client.plan(PROBE_SPEC)
    except ApiProblem as problem:
        return Check("workers", Verdict.MISSING, str(problem))
    models = ", ".join(planned["spec"]["models"]["generate"].values())
    simulated = " (rehearsal: simulated)" if planned["rehearsal"] else ""
    return Check("workers", Verdict.OK, f"can call models such as {models}{simulated}")


def paused_jobs(client: Client) -> Iterator[Check]:
    """Jobs that go on only when somebody says so."""
    paused = [job for job in client.newest_jobs() if job["state"] == "paused"]
    for job in paused[:MOST_JOBS]:
        reason = str(job["reason"] or "by a person").rstrip(".")
        told = f"{job['id']} of {job['dataset']} is paused: {reason}. Go on with: ./run questmill resume {job['id']}"
        yield Check("jobs", Verdict.NOTE, told)
    if len(paused) > MOST_JOBS:
        yield Check("jobs", Verdict.NOTE, f"{len(paused) - MOST_JOBS} more are paused: ./run questmill jobs")
