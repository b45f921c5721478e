"""A model server that costs next to nothing: OpenAI's Chat Completions, replies made beforehand, a fixed latency.

    python -m bench.model_server --port P --replies FILE [--latency SECONDS]

FILE holds one reply's text a line, as a JSON string; they are served in order, and again from the start. The rehearsal
server is the one with quotas and faults; here nothing but the time of an answer is played, so that on a small machine
the server does not eat what is measured. `GET /served` tells how many were served.
"""

import argparse
import asyncio
from pathlib import Path

import orjson

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


class ModelServer:
    """The replies, as whole HTTP answers, and where in them we are."""

    def __init__(self, replies: list[str], latency_seconds: float) -> None:
        self.latency_seconds = latency_seconds
        self.served = 0
        self._answers = [_answer(number, text) for number, text in enumerate(replies)]

    def take(self) -> bytes:
        """The next answer."""
        answer = self._answers[self.served % len(self._answers)]
        self.served += 1
        return answer


class Conversation(asyncio.Protocol):
    """One kept-alive connection; a client sends its next request after the answer to the one before."""

    def __init__(self, server: ModelServer) -> None:
        self._server = server
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found or len(body) < _content_length(head):
            return
        self._buffer = b""
        if head.startswith(b"GET /served"):
            told = orjson.dumps({"served": self._server.served})
            self._transport.write(HEAD % len(told) + told)
        else:
            asyncio.get_running_loop().call_later(self._server.latency_seconds, self._reply)

    def _reply(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._server.take())


def _content_length(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(b"content-length:")
    return int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


def _answer(number: int, text: str) -> bytes:
    message = {"role": "assistant", "content": text, "refusal": None}
    usage = {"prompt_tokens": 260, "completion_tokens": len(text) // 4 + 1, "total_tokens": 261 + len(text) // 4}
    body = orjson.dumps(
        {
            "id": f"chatcmpl-{number}",
            "object": "chat.completion",
            "created": 1_790_000_000,
            "model": "bench",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}],
            "usage": usage,
        }
    )
    return HEAD % len(body) + body


async def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--replies", type=Path, required=True)
    parser.add_argument("--latency", type=float, default=0.5)
    arguments = parser.parse_args()
    replies = [orjson.loads(line) for line in arguments.replies.read_bytes().splitlines()]
    server = ModelServer(replies, arguments.latency)
    listening = await asyncio.get_running_loop().create_server(
        lambda: Conversation(server), "127.0.0.1", arguments.port, backlog=1024
    )
    await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
