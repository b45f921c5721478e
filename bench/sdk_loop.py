"""What ours is measured against: a loop on the OpenAI SDK that asks the same prompts and keeps nothing.

    python -m bench.sdk_loop --url URL --calls N --in-flight N [--aiohttp]

Prints the CPU seconds and the seconds that the calls took, as JSON, its start not counted.
"""

import argparse
import asyncio
import sys
import time

import orjson
from openai import AsyncOpenAI, DefaultAioHttpClient

from bench.replies import make_prompts
from shared.questions.prompts import Prompt

QUESTIONS = 10


async def ask_all(client: AsyncOpenAI, prompts: list[Prompt], in_flight: int) -> None:
    """Every prompt once, `in_flight` at a time, as the SDK's documentation writes a call."""
    waiting = iter(prompts)

    async def ask_on() -> None:
        for prompt in waiting:
            await client.chat.completions.create(
                model="bench",
                messages=[{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}],
                max_completion_tokens=prompt.max_output_tokens,
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": "questions", "strict": True, "schema": dict(prompt.schema)},
                },
            )

    await asyncio.gather(*(ask_on() for _ in range(in_flight)))


async def main() -> None:
    """Ask, then say what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--calls", type=int, required=True)
    parser.add_argument("--in-flight", type=int, required=True)
    parser.add_argument("--aiohttp", action="store_true")
    arguments = parser.parse_args()
    prompts = make_prompts(arguments.calls, QUESTIONS)
    http_client = DefaultAioHttpClient() if arguments.aiohttp else None
    async with AsyncOpenAI(base_url=arguments.url, api_key="bench", max_retries=0, http_client=http_client) as client:
        cpu, clock = time.process_time(), time.monotonic()
        await ask_all(client, prompts, arguments.in_flight)
        spent = {"cpu_seconds": time.process_time() - cpu, "seconds": time.monotonic() - clock}
    sys.stdout.write(orjson.dumps(spent).decode())


if __name__ == "__main__":
    asyncio.run(main())
