"""Where the running system is: the environment first, then what `./run up` wrote down, then the defaults."""

import json
from pathlib import Path

from shared.settings import Settings

ENV_FILE = "env.json"


def running_environment(home: Path) -> dict[str, str]:
    """What the running stack wrote about itself; empty when there is none or it cannot be read."""
    try:
        written = json.loads((home / ENV_FILE).read_text())
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in written.items()} if isinstance(written, dict) else {}


def api_url(settings: Settings) -> str:
    """QUESTMILL_API_URL, else the address that the running stack wrote, else the default port."""
    if settings.api_url:
        return settings.api_url
    return running_environment(settings.home).get("api_url") or f"http://127.0.0.1:{settings.api_port}"
