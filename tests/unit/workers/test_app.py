"""How Celery is told to reach its broker; in a process of its own, since it is told when the module is read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ASK = "from workers.app import app; print(app.connection_for_write().ssl)"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://127.0.0.1:1/0", "None"),
        ("rediss://127.0.0.1:1/0", "{'ssl_cert_reqs': <VerifyMode.CERT_REQUIRED: 2>}"),
        ("rediss://127.0.0.1:1/0?ssl_cert_reqs=none", "{'ssl_cert_reqs': <VerifyMode.CERT_NONE: 0>}"),
    ],
)
def test_the_brokers_certificate_is_checked_unless_the_url_says_otherwise(url: str, told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"REDIS_URL": url},
    )
    assert done.stdout.strip() == told
