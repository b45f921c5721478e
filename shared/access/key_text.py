"""The text of a key and of a session, and the hash that stands for it in the database. Pure but for the dice."""

import hashlib
import re
import secrets

PREFIX = "qm_"
SECRET_BYTES = 32
KEY = re.compile(r"qm_[A-Za-z0-9_-]{43}")
TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
# A letter first, so that no name is a number, which names a key too.
NAME = re.compile(r"[a-z][a-z0-9._-]{0,63}")


def make_key() -> str:
    """`qm_` and 256 random bits, as 43 characters of A-Z, a-z, 0-9, `_` and `-`."""
    return PREFIX + make_token()


def make_token() -> str:
    """256 random bits: what a cookie holds."""
    return secrets.token_urlsafe(SECRET_BYTES)


def hash_secret(secret: str) -> bytes:
    """sha256, 32 bytes.

    Slow hashes (bcrypt, argon2) are for passwords, of which people choose few: whoever steals the table can try them
    all. 256 random bits can be tried by nobody, so that one round of a fast hash is as safe, and costs a request
    microseconds instead of a tenth of a second.

    A hash is looked up through a unique index, which is not done in constant time. How long it takes could tell how
    far the hash of a guess agrees with a stored one, and that is no help: whoever wants to come nearer has to find keys
    whose sha256 begins as wished, each harder to find than the last, and learns of the hash, nothing of the key.
    """
    return hashlib.sha256(secret.encode()).digest()


def check_name(name: str) -> str:
    """The name itself, when it is fit for a log and a person's eye; ValueError otherwise."""
    if not NAME.fullmatch(name):
        raise ValueError("use 1 to 64 of a-z, 0-9, '.', '_' and '-', beginning with a letter")
    return name
