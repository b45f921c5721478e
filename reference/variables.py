"""Variables that no settings class knows: where they are read, nothing but a shell or a test is there to describe them.

`./run test` compares them with what the code names, so that none is missing here and none is left over.
"""

from typing import NamedTuple


class Variable(NamedTuple):
    """A variable with its default as a person would write it; empty: none."""

    name: str
    default: str
    what: str


COMPOSE = (
    Variable("QUESTMILL_MODELS", "local/rehearsal.env", "the file with provider keys, which workers alone read"),
    Variable(
        "QUESTMILL_SETTINGS", "settings.env", "the file with other settings, which every process reads: no keys there"
    ),
    Variable("QUESTMILL_API_ADDRESS", "127.0.0.1", "the address of this machine at which the API is published"),
    Variable("QUESTMILL_API_PORT", "8000", "the port there"),
    Variable("QUESTMILL_FLOWER_ADDRESS", "127.0.0.1", "the address of this machine at which Flower is published"),
    Variable("QUESTMILL_FLOWER_PORT", "5555", "the port there"),
    Variable("QUESTMILL_FLOWER_AUTH", "", "`user:password` for Flower; required beyond loopback"),
    Variable("QUESTMILL_WEBHOOK_URL", "", "who is told when any job ends or pauses"),
    Variable("QUESTMILL_WEBHOOK_SECRET", "", "the key that signs notifications"),
    Variable(
        "QUESTMILL_DATABASE_URL",
        "postgresql://questmill:questmill@postgres:5432/questmill",
        "a Postgres of your own in the place of that in a container",
    ),
    Variable("QUESTMILL_DATABASE_DIRECT_URL", "", "the same past a pooler"),
    Variable("QUESTMILL_REDIS_URL", "redis://:questmill@redis:6379/0", "a broker of your own in the place of that one"),
    Variable("POSTGRES_PASSWORD", "questmill", "of the database, which is reached by the containers only"),
    Variable("REDIS_PASSWORD", "questmill", "of the broker, which is reached by the containers only"),
)
DEVELOPMENT = (
    Variable("QUESTMILL_TEST_DATABASE_URL", "", "a Postgres for `./run test`; left out, it starts one"),
    Variable("QUESTMILL_TEST_REDIS_URL", "", "a Redis-protocol server for `./run test`; left out, it starts one"),
    Variable("QUESTMILL_CHROMIUM", "chromium", "the browser of `./run test-browser`"),
    Variable("QUESTMILL_FUZZ_EXAMPLES", "", "how many texts each parser is given; 400 in `./run test-hostile`"),
    Variable("QUESTMILL_HOSTILE_SECONDS", "130", "how long `./run test-hostile` attacks the API"),
    Variable("QUESTMILL_HOSTILE_SEED", "1", "of what it sends"),
    Variable("QUESTMILL_BENCH_PAIRS", "", "labelled pairs for `./run bench dedup`, a JSONL file"),
)
