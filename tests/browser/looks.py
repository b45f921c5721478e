"""How a window looks: its theme and size."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Look:
    """Sizes are CSS pixels."""

    name: str
    theme: Literal["light", "dark"]
    width: int = 1280
    height: int = 900
    is_phone: bool = False


LIGHT = Look("light", "light")
DARK = Look("dark", "dark")
PHONE = Look("phone", "light", width=390, height=844, is_phone=True)
PHONE_DARK = Look("phone-dark", "dark", width=390, height=844, is_phone=True)
LOOKS = (LIGHT, DARK, PHONE, PHONE_DARK)
