import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

BODY = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "Topic: tides\nQuestions: 3\n"}]}
KEY = {"Authorization": "Bearer rehearsal", "X-Client-Request-Id": "in flight"}


@asynccontextmanager
async def started(*arguments: str, **environment: str) -> AsyncIterator[tuple[Process, str]]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "local.rehearsal", *arguments),
        stdout=PIPE,
        stderr=PIPE,
        env={**os.environ, **environment},
    )
    try:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
        yield process, line.split(" on ")[-1].split()[0] if line else ""
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_stop_finishes_what_is_in_flight_and_writes_the_record(tmp_path: Path, stop: signal.Signals) -> None:
    path = tmp_path / "record.jsonl"
    # The slow fault takes ten times as long: some seconds, and so it is in flight when the signal comes.
    arguments = ("--port", "0", "--latency", "0.3", "--faults", "slow=1", "--record", str(path))
    async with started(*arguments) as (process, url), aiohttp.ClientSession() as session:
        in_flight = asyncio.create_task(_post(session, url))
        await _wait_until_in_flight(session, url)
        process.send_signal(stop)
        assert len(json.loads((await in_flight)["choices"][0]["message"]["content"])["questions"]) == 3
        assert await asyncio.wait_for(process.wait(), 15) == 0
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ["in flight"]


async def test_stop_does_not_wait_for_a_hanging_request(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    async with (
        started("--port", "0", "--faults", "timeout=1", "--record", str(path)) as (process, url),
        aiohttp.ClientSession() as session,
    ):
        in_flight = asyncio.create_task(_post(session, url))
        await _wait_until_in_flight(session, url)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 15) == 0
        with pytest.raises(aiohttp.ClientError):
            await in_flight
    assert json.loads(path.read_text())["outcome"] == "timeout"


async def test_record_file_is_at_most_a_moment_behind(tmp_path: Path) -> None:
    path = tmp_path / "record.jsonl"
    settings = {"QUESTMILL_REHEARSAL_PORT": "0", "QUESTMILL_REHEARSAL_RECORD": str(path)}
    async with started(**settings) as (process, url), aiohttp.ClientSession() as session:
        await _post(session, url)
        async with asyncio.timeout(2):
            while not path.read_bytes().endswith(b"\n"):  # noqa: ASYNC110 - the other side is a file
                await asyncio.sleep(0.02)
        process.kill()


async def test_taken_port_and_wrong_setting_are_one_plain_sentence(tmp_path: Path) -> None:
    async with started("--port", "0") as (_, url):
        port = url.rsplit(":", 1)[-1]
        async with started("--port", port) as (second, _):
            assert second.stderr is not None
            message = (await second.stderr.read()).decode()
            assert f"cannot listen on 127.0.0.1:{port}" in message
            assert "Traceback" not in message
            assert await second.wait() == 1
    async with started("--faults", "lightning=1") as (wrong, _):
        assert wrong.stderr is not None
        message = (await wrong.stderr.read()).decode()
        assert "unknown fault 'lightning'" in message
        assert "Traceback" not in message
        assert await wrong.wait() == 2


async def _wait_until_in_flight(session: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(10):
        while True:
            async with session.get(f"{url}/rehearsal/summary") as response:
                if (await response.json())["in_flight"]:
                    return


async def _post(session: aiohttp.ClientSession, url: str) -> dict[str, list[dict[str, dict[str, str]]]]:
    async with session.post(f"{url}/v1/chat/completions", json=BODY, headers=KEY) as response:
        answer: dict[str, list[dict[str, dict[str, str]]]] = await response.json()
        return answer
