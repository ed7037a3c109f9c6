"""TLS in front of a server that has none: what arrives is passed on, and so are the answers."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from pathlib import Path
from typing import Self

CERTIFICATES = Path(__file__).parent / "tls"
AUTHORITY = CERTIFICATES / "authority.pem"
"""Has signed the certificate of the front."""
STRANGER = CERTIFICATES / "stranger.pem"
"""Has not."""


class TlsFront:
    """Listens for TLS on ``port`` of the loopback, in a thread of its own, before the server on another port.

    ``accepted`` counts the connections that have shaken hands.
    """

    def __init__(self, server: int) -> None:
        self.accepted = 0
        self._server = server
        self._loop = asyncio.new_event_loop()
        self._lines: set[asyncio.Task[None]] = set()
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tls-front", daemon=True)
        self._thread.start()
        self._begun.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End all connections, and the thread."""
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _run(self) -> None:
        self._loop.run_until_complete(self._listen())
        self._loop.close()

    async def _listen(self) -> None:
        self._end = asyncio.Event()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATES / "server.pem", CERTIFICATES / "server.key")
        listening = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=context)
        self.port: int = listening.sockets[0].getsockname()[1]
        # A handshake that fails is what a test wants to see at the other end.
        self._loop.set_exception_handler(lambda _loop, _context: None)
        self._begun.set()
        await self._end.wait()
        listening.close()
        for line in self._lines:
            line.cancel()
        await asyncio.gather(*self._lines, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        line = asyncio.current_task()
        assert line is not None
        self._lines.add(line)
        line.add_done_callback(self._lines.discard)
        behind, before = await asyncio.open_connection("127.0.0.1", self._server)
        try:
            ways = [asyncio.ensure_future(way) for way in (_pass_on(reader, before), _pass_on(behind, writer))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            for each in (before, writer):
                each.close()
            for each in (before, writer):
                with contextlib.suppress(OSError, ssl.SSLError):
                    await each.wait_closed()


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, ssl.SSLError):
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()
