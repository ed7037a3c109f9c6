"""The queue in front of the service: round-robin, at least once, out of order; and the ledger of what happened."""

from __future__ import annotations

import multiprocessing
import random
import threading
from collections import Counter, defaultdict
from multiprocessing.connection import Connection
from typing import Any

from scenario.service import Message, serve


class Broker:
    """Four instances behind a queue; one of them is killed half-way, and what it had is delivered again."""

    def __init__(self, url: str, instances: int = 4, dies_at: int = 4, seed: int = 7) -> None:
        self.callbacks: Counter[str] = Counter()
        self.waited: dict[str, list[dict[str, tuple[int, int]]]] = defaultdict(list)
        self.bumped: dict[str, list[int]] = defaultdict(list)
        self.stale: list[tuple[str, int]] = []
        self.deaths = 0
        self.delivered = 0
        self._random = random.Random(seed)
        self._changed = threading.Condition(threading.RLock())
        self._numbers = 0
        self._unacknowledged: dict[int, tuple[int, Message]] = {}
        self._pipes: dict[int, Connection] = {}
        self._processes: list[Any] = []
        self._readers: list[threading.Thread] = []
        spawn = multiprocessing.get_context("spawn")
        for number in range(instances):
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=serve, args=(url, theirs, dies_at if number == 1 else 0))
            process.start()
            theirs.close()
            self._pipes[number] = ours
            self._processes.append(process)
        for number, pipe in list(self._pipes.items()):
            reader = threading.Thread(target=self._read, args=(number, pipe))
            reader.start()
            self._readers.append(reader)
        self._turn = 0

    def send(self, message: Message) -> None:
        """Deliver a message to the next instance, and now and then to one more."""
        with self._changed:
            for _ in range(2 if self._random.random() < 0.2 else 1):
                self._numbers += 1
                self._deliver(self._numbers, message)

    def _deliver(self, number: int, message: Message) -> None:
        alive = sorted(self._pipes)
        self._turn += 1
        instance = alive[self._turn % len(alive)]
        self._unacknowledged[number] = instance, message
        self.delivered += 1
        try:
            self._pipes[instance].send((number, message))
        except OSError:
            # It died just now; its reader delivers this again.
            return

    def _read(self, instance: int, pipe: Connection) -> None:
        try:
            while True:
                what, *about = pipe.recv()
                with self._changed:
                    getattr(self, f"_{what}")(*about)
                    self._changed.notify_all()
        except (EOFError, OSError):
            self._gone(instance)

    def _gone(self, instance: int) -> None:
        with self._changed:
            self._pipes.pop(instance).close()
            left = [number for number, (to, _) in self._unacknowledged.items() if to == instance]
            if left or self._pipes:
                self.deaths += 1
            self._random.shuffle(left)
            for number in left:
                self._deliver(number, self._unacknowledged[number][1])
            self._changed.notify_all()

    def _ack(self, number: int) -> None:
        self._unacknowledged.pop(number, None)

    def _send(self, message: Message) -> None:
        self.send(message)

    def _callback(self, name: str, arrived: int) -> None:
        self.callbacks[name] += 1

    def _waited(self, name: str, status: dict[str, tuple[int, int]]) -> None:
        self.waited[name].append(status)

    def _bumped(self, piece: str, version: int) -> None:
        self.bumped[piece].append(version)

    def _stale(self, piece: str, version: int) -> None:
        self.stale.append((piece, version))

    def wait_for(self, requests: list[str], seconds: float) -> bool:
        """Wait until every request was waited for and called back, and every message is acknowledged."""
        with self._changed:
            return self._changed.wait_for(
                lambda: (
                    all(self.waited[name] and self.callbacks[name] for name in requests) and not self._unacknowledged
                ),
                seconds,
            )

    def stop(self) -> int:
        """Let the instances end; return how many had died before."""
        with self._changed:
            died = self.deaths
            for pipe in self._pipes.values():
                pipe.send(None)
        for process in self._processes:
            process.join(120)
            process.close()
        for reader in self._readers:
            reader.join(120)
        return died
