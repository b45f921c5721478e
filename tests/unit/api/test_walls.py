"""What the API process must never hold or load."""

import subprocess
import sys

from pydantic import SecretStr

from api.app import create_app
from shared.settings import Settings


def test_the_api_loads_neither_celery_nor_a_provider_sdk() -> None:
    code = "import sys, api.app; print(*({'celery', 'kombu', 'openai', 'anthropic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""


def test_the_api_keeps_no_provider_key() -> None:
    key = SecretStr("sk-secret")
    app = create_app(Settings(openai_api_key=key, anthropic_api_key=key))
    assert app.state.services.settings.openai_api_key is None
    assert app.state.services.settings.anthropic_api_key is None
