"""How many requests a minute a key may make, counted in Redis for all API processes together."""

import asyncio
import time
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.ids import KeyId

KEY_PREFIX = "questmill:requests:"
WINDOW_MS = 60_000
# The window begins with its first request: at most so many in any such minute, and twice as many in the worst 60 s.
COUNT = """
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return {count, redis.call('PTTL', KEYS[1])}
"""
# A request waits no longer for Redis, and after it was silent none waits for a while.
ANSWER_SECONDS = 0.5
LET_BE_SECONDS = 5.0
# And so long for an answer that came while this process stood still, which is no silence.
LOOK_SECONDS = 0.05


class RequestRate:
    """Counts requests of keys that have a limit.

    While Redis is away everybody passes: the limit keeps a busy program from crowding out the others, while what
    protects data and money (keys, scopes, quotas, budgets) is in Postgres. A broken broker must not keep anybody from
    looking, pausing or cancelling.
    """

    def __init__(self, redis: Redis) -> None:
        self._count = redis.register_script(COUNT)
        self._let_be_until = 0.0

    async def seconds_to_wait(self, key_id: KeyId, per_minute: int) -> int:
        """Count a request; 0 when it may go on, else the whole seconds until the next minute begins."""
        if time.monotonic() < self._let_be_until:
            return 0
        try:
            reply = await self._counted(key_id)
        except (RedisError, OSError):  # a time-out is an OSError
            self._let_be_until = time.monotonic() + LET_BE_SECONDS
            return 0
        count, left_ms = cast("tuple[int, int]", reply)
        return 0 if count <= per_minute else max(1, -(-left_ms // 1000))

    async def _counted(self, key_id: KeyId) -> object:
        asked = asyncio.ensure_future(self._count(keys=[f"{KEY_PREFIX}{key_id}"], args=[WINDOW_MS]))
        try:
            for patience in (ANSWER_SECONDS, LOOK_SECONDS):
                answered, _ = await asyncio.wait({asked}, timeout=patience)
                if answered:
                    return asked.result()
            raise TimeoutError
        finally:
            asked.cancel()
