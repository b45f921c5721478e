"""How Celery is told to reach its broker; in a process of its own, since it is told when the module is read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ASK = """
from workers.app import app
print(app.connection_for_write().ssl)
print(app.conf.broker_use_ssl)  # which is what Flower looks at
"""


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://127.0.0.1:1/0", "None"),
        ("rediss://127.0.0.1:1/0", "{'ssl_cert_reqs': <VerifyMode.CERT_REQUIRED: 2>}"),
        ("rediss://127.0.0.1:1/0?ssl_cert_reqs=none", "{'ssl_cert_reqs': <VerifyMode.CERT_NONE: 0>}"),
    ],
)
def test_the_brokers_certificate_is_checked_unless_the_url_says_otherwise(url: str, told: str) -> None:
    assert ask(url) == [told, told]


def test_flower_is_told_of_an_authority_of_ones_own() -> None:
    celery, flower = ask("rediss://:a@127.0.0.1:1/0?ssl_ca_certs=/certificates/ca.crt")
    # What is required where nothing is said is redis-py's to know: a certificate.
    assert celery == "{'ssl_ca_certs': '/certificates/ca.crt'}"
    assert flower == "{'ssl_cert_reqs': <VerifyMode.CERT_REQUIRED: 2>, 'ssl_ca_certs': '/certificates/ca.crt'}"


def ask(url: str) -> list[str]:
    """What Celery's connection and Flower's are told."""
    environment = os.environ | {"REDIS_URL": url}
    command = [sys.executable, "-c", ASK]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, env=environment)
    return done.stdout.splitlines()
