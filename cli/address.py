"""Where the running system is: the environment first, then what `./run up` wrote down, then the defaults.

And the key that it may ask for.
"""

import json
from pathlib import Path

from pydantic import SecretStr

from shared.errors import FieldError, InvalidInput
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


def api_key(settings: Settings) -> SecretStr | None:
    """QUESTMILL_API_KEY, else what QUESTMILL_API_KEY_FILE holds. Raises InvalidInput for a file that cannot be read."""
    if settings.api_key is not None or settings.api_key_file is None:
        return settings.api_key
    try:
        return SecretStr(settings.api_key_file.read_text().strip())
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise InvalidInput(
            f"QUESTMILL_API_KEY_FILE: {settings.api_key_file} cannot be read: {why}.",
            [FieldError("QUESTMILL_API_KEY_FILE", why)],
        ) from None
