"""The pipeline with coord: what a producer and a worker do.

A worker may die at any line. Nothing is lost, because every update stays with the queue until its outcome is counted.
Nothing is doubled, because the claim's fence makes "what is there already?" and "write" one step for the store, and
because the statistics know the outcome of an update by its id.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from coord.cli.demo.load import LEASE, WORK, Burst, Update

if TYPE_CHECKING:
    from collections.abc import Iterable

    from coord.cli.demo.fate import Fate
    from coord.cli.demo.world import Delivery, Queue, Store
    from coord.coordinator import Coordinator

__all__ = ["RUN", "produce", "work"]

RUN = "run"
"""The id under which everybody counts."""

_ALL = "all documents"
_LONGEST = 60.0


def produce(c: Coordinator, parties: int, queue: Queue, bursts: Iterable[Burst], pause: float) -> None:
    """Enqueue every update under a new version of its document, and wait until all of them are settled.

    A document is a request, and its updates are the work of it. When ``parties`` documents, those of all producers,
    have come to their end, one of all who watch the barrier is called back.

    A producer that died between its version and its update would take the newest with it; that is the business of an
    outbox, and the demo kills no producer.
    """
    bursts = list(bursts)
    stats, documents = c.stats("pipeline"), dict.fromkeys(burst.document for burst in bursts)
    _open(c, parties)
    for document, revisions, last in bursts:
        request = c.request(document)
        request.register()
        for revision in revisions:
            final = last and revision == revisions[-1]
            update = Update(document, revision, c.bump(document), final)
            stats.merge(RUN, enqueued=1, op_id=f"enqueued {update.id}")
            request.add("updates", update.id)
            queue.put(update)
        time.sleep(pause * len(revisions))
    _wait(c, documents)


def _open(c: Coordinator, parties: int) -> None:
    """Have the barrier of all documents open, and be ready to succeed whoever opened it."""
    barrier, run = c.barrier(_ALL), c.request(RUN)
    with c.hold("opening", ttl=LEASE):
        if barrier.status() is None:
            barrier.open(parties)
            run.register()
            run.add("callbacks", _ALL)

    def called_back(_: object) -> None:
        c.stats("pipeline").merge(RUN, callbacks=1)
        run.done("callbacks", _ALL)

    barrier.watch(on_complete=called_back)


def _wait(c: Coordinator, documents: Iterable[str]) -> None:
    """Wait until all updates of each document are settled, and for the callback of the last document of all."""
    for document in documents:
        stages = c.request(document).wait(_LONGEST)
        c.stats("pipeline").merge(RUN, awaited=stages["updates"].processed, op_id=f"awaited {document}")
        c.barrier(_ALL).arrive(document)
    c.request(RUN).wait(_LONGEST)


def work(c: Coordinator, queue: Queue, store: Store, fate: Fate, name: str) -> dict[str, int] | None:
    """Handle updates until none is left; then ask for the statistics, which one worker of all gets."""
    while (delivery := queue.take(name)) is not None:
        _handle(c, queue, store, fate, delivery)
    return c.stats("pipeline").consume(RUN)


def _handle(c: Coordinator, queue: Queue, store: Store, fate: Fate, delivery: Delivery) -> None:
    stats, update = c.stats("pipeline"), delivery.update
    # The window is that of the attempt: a copy is dropped, but what a dead worker left behind is not.
    first = c.once(f"{update.id} {delivery.attempt}")
    stats.merge(RUN, delivered=1, deduped=0 if first else 1, op_id=f"delivered {delivery.receipt}")
    if not first:
        queue.ack(delivery.receipt)
        return
    lease = c.claim(update.document, ttl=LEASE)
    outcome = _settle(c, store, fate, update, lease.fence) if lease else None
    if outcome is None:
        queue.put_back(delivery.receipt)
    else:
        # However many workers come to this line with an update, its outcome counts once.
        stats.merge(RUN, {outcome: 1}, op_id=f"settled {update.id}")
        c.request(update.document).done("updates", update.id)
        fate.reach("counted", update)
        queue.ack(delivery.receipt)
    if lease:
        # After a stall it may be somebody else's by now; then this lets nothing go.
        lease.release()


def _settle(c: Coordinator, store: Store, fate: Fate, update: Update, fence: int) -> str | None:
    """Bring an update into the store and return its outcome; None when the document is somebody else's by now."""
    written = store.open(update.document, fence)
    if written is None:
        return None
    if update.revision in written:
        # By a worker who died, or lost its lease, before it could say so.
        return "worked"
    if c.is_stale(update.document, update.version):
        return "superseded"
    time.sleep(WORK)
    fate.reach("working", update)
    if not store.write(update.document, update.revision, fence):
        return None
    fate.reach("written", update)
    return "worked"
