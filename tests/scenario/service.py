"""One instance of the service: it turns requests into semantic and embedding work, for whichever instance gets it.

Every message may come twice, and again after an instance died; every step may be the last one that an instance takes.
"""

from __future__ import annotations

import os
import signal
import threading
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import coord

PROCESSED_A_DOCUMENT = 3

HOLD = 6
"""Seconds after which the others go on with what a dead instance held."""


class Message(NamedTuple):
    """What the queue delivers: at least once."""

    kind: str
    request: str
    document: str = ""
    documents: int = 0
    version: int = 0


class Instance:
    """A process of the service. ``dies_at``: the semantic message at which it is killed, half-way."""

    def __init__(self, url: str, pipe: Connection, dies_at: int) -> None:
        self.c = coord.connect(url, prefix="service:", ttl=600)
        self._pipe = pipe
        self._sending = threading.Lock()
        self._dies_at = dies_at
        self._semantic_seen = 0

    def run(self) -> None:
        """Take messages until there are no more."""
        while (delivery := self._pipe.recv()) is not None:
            number, message = delivery
            if message.kind == "request":
                # Acknowledged once it was waited for: if this instance dies, another one succeeds it.
                self.request(message, number)
            else:
                getattr(self, message.kind)(message)
                self.tell("ack", number)
        self.c.close()

    def tell(self, what: str, *about: Any) -> None:
        """Tell the broker."""
        with self._sending:
            self._pipe.send((what, *about))

    def request(self, message: Message, number: int) -> None:
        """Register a request, hand out its work, and wait for it in the background."""
        name = message.request
        request, barrier = self.c.request(name), self.c.barrier(name)
        with self.c.hold(f"request/{name}", ttl=HOLD):
            request.register()
            # Opened once: who comes after an opener that died watches what it left.
            if barrier.status() is None:
                barrier.open(message.documents, deadline=240)
            if not self.c.kv.get_int(f"handed-out/{name}"):
                for document in (f"doc-{place}" for place in range(message.documents)):
                    request.add("semantic", document)
                    self.tell("send", Message("semantic", name, document))
                self.c.kv.incr(f"handed-out/{name}")
        barrier.watch(on_complete=lambda status: self.tell("callback", name, status.arrived))
        threading.Thread(target=self._wait, args=(name, number), daemon=True).start()

    def _wait(self, name: str, number: int) -> None:
        status = self.c.request(name).wait(timeout=240)
        self.tell("waited", name, {stage: (each.processed, each.pending) for stage, each in status.items()})
        self.tell("ack", number)

    def semantic(self, message: Message) -> None:
        """Understand a document, and hand its embedding on under a new version."""
        self._semantic_seen += 1
        name, document = message.request, message.document
        request, piece = self.c.request(name), f"{name}/{document}"
        with self.c.hold(f"piece/{piece}", ttl=HOLD):
            # An instance that died here has left it half understood: then it is begun anew, under a newer version.
            if not self.c.kv.get_int(f"understood/{piece}") and not self.c.kv.get_int(f"embedded/{piece}"):
                version = self.c.bump(piece)
                self.tell("bumped", piece, version)
                request.add("embedding", document)
                self.tell("send", Message("embedding", name, document, version=version))
                if 0 < self._dies_at <= self._semantic_seen:
                    os.kill(os.getpid(), signal.SIGKILL)
                self.c.kv.incr(f"understood/{piece}")
            request.done("semantic", document)

    def embedding(self, message: Message) -> None:
        """Embed a document, unless a newer version of it is on its way."""
        name, document = message.request, message.document
        piece = f"{name}/{document}"
        with self.c.hold(f"piece/{piece}", ttl=HOLD):
            if self.c.is_stale(piece, message.version):
                self.tell("stale", piece, message.version)
                return
            self.c.kv.incr(f"embedded/{piece}")
            self.c.stats("embedding").merge(name, embedded=1, op_id=piece)
            self.c.request(name).done("embedding", document, processed=PROCESSED_A_DOCUMENT)
            self.c.barrier(name).arrive(document)


def serve(url: str, pipe: Connection, dies_at: int) -> None:
    """Run an instance, in a process of its own."""
    Instance(url, pipe, dies_at).run()
