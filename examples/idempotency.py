"""An ASGI middleware: a request with an ``Idempotency-Key`` header is executed once, and its response is replayed.

    app = Idempotency(app, coordinator)

A repeated request waits for the first one and gets its response. Another request under the same key is answered 422;
one that comes while the first still runs, after ``wait`` seconds, 409. Server errors (5xx) are not kept: the next
attempt runs again (https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import coord

__all__ = ["Idempotency"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
Response = dict[str, Any]


class Idempotency:
    """The middleware. ``user`` returns whose key it is: two users may choose the same one."""

    def __init__(
        self,
        app: App,
        coordinator: coord.AsyncCoordinator,
        *,
        methods: frozenset[str] = frozenset({"POST", "PATCH"}),
        user: Callable[[Message], str] = lambda _: "",
        keep: float = 86_400,
        wait: float = 10,
    ) -> None:
        self._app, self._c = app, coordinator
        self._methods, self._user, self._keep, self._wait = methods, user, keep, wait

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request."""
        key = _header(scope, b"idempotency-key") if scope["type"] == "http" else None
        if key is None or scope["method"] not in self._methods:
            await self._app(scope, receive, send)
            return
        body = await _body(receive)

        async def run() -> Response:
            response = await _response(self._app, scope, body)
            if response["status"] >= 500:
                raise _UnkeptError(response)
            return response

        name = f"http:{self._user(scope)}:{key}"
        try:
            response = await self._c.execute_once(
                name, run, _fingerprint(scope, body), keep=self._keep, wait=self._wait
            )
        except _UnkeptError as error:
            response = error.response
        except coord.FingerprintMismatch:
            response = _text(422, "this Idempotency-Key belongs to another request")
        except coord.WaitTimeout:
            response = _text(409, "the request with this Idempotency-Key is still being processed")
        await _send(send, response)


class _UnkeptError(Exception):
    """A response that the next attempt should not get."""

    def __init__(self, response: Response) -> None:
        super().__init__(response["status"])
        self.response = response


def _header(scope: Message, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name and value), None)


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _fingerprint(scope: Message, body: bytes) -> str:
    text = f"{scope['method']} {scope['path']}?{scope['query_string'].decode('latin-1')}\n".encode()
    return hashlib.sha256(text + body).hexdigest()


async def _response(app: App, scope: Message, body: bytes) -> Response:
    """Run the application, and return what it sends."""
    response: Response = {"status": 500, "headers": [], "body": ""}
    parts: list[bytes] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            response["status"] = message["status"]
            response["headers"] = [
                [key.decode("latin-1"), value.decode("latin-1")] for key, value in message["headers"]
            ]
        elif message["type"] == "http.response.body":
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    response["body"] = base64.b64encode(b"".join(parts)).decode()
    return response


def _text(status: int, text: str) -> Response:
    body = base64.b64encode(text.encode()).decode()
    return {"status": status, "headers": [["content-type", "text/plain"]], "body": body}


async def _send(send: Send, response: Response) -> None:
    headers = [(key.encode("latin-1"), value.encode("latin-1")) for key, value in response["headers"]]
    await send({"type": "http.response.start", "status": response["status"], "headers": headers})
    await send({"type": "http.response.body", "body": base64.b64decode(response["body"])})
