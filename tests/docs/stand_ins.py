"""The table: all that is different from the pages when `./run test-docs` types their commands.

A command that no entry names is typed exactly as it is printed, in the order of its page, and has to end with 0.
"""

from tests.docs.entries import Asks, Elsewhere, Instead, Needs, NotRun, Once, Repeats, Stays

INSTEAD = (
    Instead(printed="./run demo", whole=True, run="./run demo --questions 2000", why="the same, smaller"),
    Instead(
        printed="DATABASE_URL=postgresql://... REDIS_URL=redis://... OPENAI_API_KEY=...",
        run="env DATABASE_URL=$RUNNING_DATABASE_URL REDIS_URL=$RUNNING_REDIS_URL $RUNNING_MODELS",
        why="yours; here those of the system that runs and of its rehearsal server",
    ),
    Instead(printed="OPENAI_API_KEY=...", run="OPENAI_API_KEY=", why="nothing is paid: an empty key rehearses"),
    Instead(
        printed="QUESTMILL_API_HOST=0.0.0.0", run="QUESTMILL_API_HOST=127.0.0.1", why="no test listens to the world"
    ),
    Instead(
        printed="./run questmill resume JOB --budget 40",
        whole=True,
        run="./run questmill resume thrifty --budget 40",
        why="a placeholder, and a job that is paused",
    ),
    Instead(printed="http://127.0.0.1:8000", page="docs/runbook.md", run="$RUNNING_API_URL", why="a port that is free"),
    Instead(
        printed='du -sh "${QUESTMILL_HOME:-.questmill}"/*',
        whole=True,
        run='du -sh "${QUESTMILL_HOME:-.questmill}"/* 2>&1 | grep -v "No such file or directory"',
        why="Postgres may take a file away while du counts, which ends with 1 then",
    ),
    Instead(
        printed="./run keys revoke NAME --yes",
        whole=True,
        run="./run keys create spare --scope read && ./run keys revoke spare --yes",
        why="a placeholder",
    ),
    Instead(printed=" JOB", run=" mine", why="a placeholder"),
    Instead(printed=" DATASET", run=" mine", why="a placeholder"),
    Instead(
        printed="./run questmill prune",
        whole=True,
        run="./run questmill prune --raw-days 0",
        why="no job here is a month old",
    ),
    Instead(
        printed="faults --seed", run="faults --collect-only -q --seed", why=".ci/run strikes; here it is only found"
    ),
    Instead(printed="path/to/tokenizer", run="bytes", why="a placeholder, and what the page has for it"),
    Instead(
        printed="path/to/model",
        run=".questmill/training/demo-bundle-maml-tiny/model",
        why="a placeholder; the page uses the model of the run before",
    ),
    Instead(
        printed="--out demo-bundle",
        page="docs/training.md",
        run="--support 2 --query 4 --out demo-bundle",
        why="smaller, as the demo is: a topic of 2,000 questions has about twenty rows, so an episode of 5+15 is luck",
    ),
    Instead(
        printed="--over-length drop",
        run="--over-length drop --max-tokens 500 --steps 1 --inner-steps 1 --no-baseline --held-out-tasks 1",
        why="the same, smaller",
    ),
    Instead(
        printed='eval "$(~/questmill/run questmill completion zsh)"',
        run="~/questmill/run questmill completion zsh",
        why="a line for zsh, which bash cannot read",
    ),
    Instead(printed="completion fish | source", run="completion fish", why="a line for fish, which bash cannot read"),
)

REPEATS = (
    Repeats(
        printed="questmill_before_restore_20261123_101500_042",
        said=r"questmill_before_restore_\d{8}_\d{6}_\d{3}",
        why="the name that the restore before it has printed",
    ),
)

ASKS = (
    Asks(printed="./run restore *", why="it asks before it replaces a database"),
    Asks(printed="./run keys revoke ci", why="it asks before it locks somebody out"),
    Asks(printed="./run questmill prune", why="it asks before it deletes"),
    Asks(printed="./run questmill reparse JOB", why="it asks, unless nothing new is found, as here", may_not=True),
)

STAYS = (
    Stays(printed="*./run up*", ready="Questmill is up.", why="it stays until Ctrl-C"),
    Stays(printed="*./run worker*", ready=" ready.", why="it stays until Ctrl-C"),
)

ONCE = (
    Once(printed="./run demo*", why="the dataset demo stays"),
    Once(printed="./run up", why="the system stays up from one page to the next"),
)

NEEDS = (
    Needs(printed="./run demo*", preparation="nothing_running", why="one system a home"),
    Needs(printed="*./run up*", preparation="nothing_running", why="one system a home"),
    Needs(printed="./run restore *", preparation="nothing_running", why="the page says so"),
    Needs(printed="./run restore *.dump", preparation="backup_file", why="a backup that was made before"),
    Needs(printed="*./run questmill export demo *", preparation="dataset_demo", why="the demo has been run before"),
    Needs(printed="*./run questmill*", preparation="system_up", why="the client of a running system"),
    Needs(printed="*./run worker*", preparation="system_up", why="one more worker of a running system"),
    Needs(
        printed="./run questmill resume JOB --budget 40", preparation="paused_job", why="a job that its budget pauses"
    ),
    Needs(printed="*curl *", page="docs/runbook.md", preparation="system_up", why="it asks the API"),
    Needs(printed="*.questmill*", page="docs/runbook.md", preparation="system_up", why="it looks at what runs"),
    Needs(printed="./run db *", preparation="system_up", why="without DATABASE_URL, that of the system that runs"),
    Needs(printed="*postgres/port*", preparation="system_up", why="the page says: while the system runs"),
    Needs(printed="*./run questmill * mine*", preparation="dataset_mine", why="a dataset that was made before"),
    Needs(printed="*./run questmill * JOB*", preparation="dataset_mine", why="a job that was run before"),
    Needs(printed="*./run questmill * DATASET*", preparation="dataset_mine", why="a dataset that was made before"),
    Needs(printed="*./run questmill decontaminate *", preparation="question_files", why="files of yours"),
    Needs(printed="*./run questmill plan job.yaml*", preparation="job_file", why="a spec of yours"),
    Needs(printed="*./run questmill submit job.yaml*", preparation="job_file", why="a spec of yours"),
    Needs(printed="*cli.client*", preparation="system_up", why="it drives a running system"),
    Needs(printed='*_URL"*', page="docs/backup.md", preparation="empty_database", why="a database that its owner made"),
)

ELSEWHERE = (
    Elsewhere(printed="./run lint", file=".ci/run", line="./run lint", why="a check of its own"),
    Elsewhere(printed="./run test", file=".ci/run", line="./run test", why="a suite"),
    Elsewhere(printed="./run test-alerts", file=".ci/run", line="./run test-alerts", why="a suite"),
    Elsewhere(printed="./run test-browser", file=".ci/run", line="./run test-browser", why="a suite"),
    Elsewhere(printed="./run test-train", file=".ci/run", line="./run test-train", why="a suite"),
    Elsewhere(printed="./run test-hostile", file=".ci/run", line="./run test-hostile", why="a suite"),
    Elsewhere(printed="./run test-manifests", file=".ci/run", line="./run test-manifests", why="a suite"),
    Elsewhere(printed="./run test-docs", file=".ci/run", line="./run test-docs", why="this suite"),
    Elsewhere(
        printed="./run faults", file=".ci/run", line='./run faults -m "not long"', why="a suite, of which CI runs half"
    ),
    Elsewhere(printed="docker *", file="tests/containers/test_commands.py", why="./run test-containers: needs Docker"),
    Elsewhere(printed="kubectl kustomize *", file="tests/containers/test_commands.py", why="./run test-containers"),
    Elsewhere(printed="sh tests/containers/*", file="tests/containers/test_commands.py", why="needs Docker"),
)

NOT_RUN = (
    NotRun(printed="./run test-containers", why="a suite for machines with Docker, which CI is not"),
    NotRun(printed="*kubectl *", why="needs a cluster, and none is at hand"),
    NotRun(printed="./run faults --minutes 20", why="takes 20 minutes; docs/faults.md has what it found"),
    NotRun(printed="./run bench", why="takes an hour of a quiet machine; docs/benchmarks.md has what it found"),
    NotRun(printed="./run bench cpu_per_call*", why="takes minutes of a quiet machine, and fails on a busy one"),
    NotRun(printed="./run bench NAME", why="a placeholder for such a measure"),
)

# What the examples in Python print, besides ending well.
PRINTED = {
    "docs/client.md": ("1 questions are there already\n39 to generate", "succeeded 40", "40 of 40\nsucceeded"),
}
TABLE = (*INSTEAD, *REPEATS, *ASKS, *STAYS, *ONCE, *NEEDS, *ELSEWHERE, *NOT_RUN)
