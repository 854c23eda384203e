"""A provider for benchmarks that keeps up with hundreds of connections on one core.

``python tests/benchmarks/fast_provider.py [latency in seconds]`` prints its base URL and answers
OpenAI's chat completions, each row with its own text, until its standard input ends. It reads
every request whole, as JSON, and answers every row under its own id. The loopback provider of
``pandas_genai.testing`` checks much more, and has a thread a connection: it would be the limit.

``GET /lateness`` tells how late its answers were sent, against the time at which they were due:
whether it kept up is measured by itself, in every run. ``GET /first`` tells when the first request
was read, on this machine's monotonic clock, or ``null``.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time

_ANSWER = {
    "id": "chatcmpl-0",
    "object": "chat.completion",
    "created": 1_788_220_800,
    "model": "gpt-6-luna",
    "service_tier": "default",
}
_USAGE = {
    "prompt_tokens": 300,
    "completion_tokens": 40,
    "total_tokens": 340,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}


def completion(body):
    """Answer each row of a request with its own text."""
    rows = json.loads(body["messages"][-1]["content"])
    results = [{"input_id": row["input_id"], "answer": row["input_text"]} for row in rows]
    text = json.dumps({"all_results": results})
    message = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return {**_ANSWER, "model": body["model"], "choices": [choice], "usage": _USAGE}


class Provider(asyncio.Protocol):
    """One connection: whole requests in, answers out when they are due."""

    latency = 0.0
    late: list[float] = []  # noqa: RUF012 - one list for the process is meant
    first: float | None = None

    def connection_made(self, transport):
        self._transport = transport
        self._data = bytearray()

    def data_received(self, data):
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._data[:end]).lower()
            _, found, rest = head.partition(b"\r\ncontent-length:")
            length = int(rest.partition(b"\r\n")[0]) if found else 0
            if len(self._data) < end + 4 + length:
                return
            raw = bytes(self._data[end + 4 : end + 4 + length])
            del self._data[: end + 4 + length]
            self._answer(head, raw)

    def _answer(self, head, raw):
        if head.startswith(b"get /v1/lateness"):
            self._send(json.dumps(Provider.late).encode())
            Provider.late.clear()
            return
        if head.startswith(b"get /v1/first"):
            self._send(json.dumps(Provider.first).encode())
            return
        Provider.first = Provider.first or time.monotonic()
        due = time.perf_counter() + self.latency
        answer = json.dumps(completion(json.loads(raw))).encode()
        if self.latency:
            loop = asyncio.get_running_loop()
            loop.call_later(due - time.perf_counter(), self._send_due, answer, due)
        else:
            self._send(answer)

    def _send_due(self, answer, due):
        self._send(answer)
        Provider.late.append(time.perf_counter() - due)

    def _send(self, body):
        head = (
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
            f"x-request-id: req_0\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self._transport.write(head.encode() + body)


async def serve():
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", 0, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    print(f"http://127.0.0.1:{port}/v1", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    Provider.latency = float(sys.argv[1]) if len(sys.argv) > 1 else 0.0
    threading.Thread(target=asyncio.run, args=(serve(),), daemon=True).start()
    sys.stdin.read()
