"""The pipeline with coord.

A worker may die at any line. Nothing is lost, because an update stays in the queue until its outcome is counted.
Nothing is doubled, because the fence makes "read" and "write" one step for the store, and because the statistics
know the outcome of an update by its id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from coord import Limit
from examples.pipeline.load import BURST, LEASE, MODELS, PERMIT, Load, Reach, Update

if TYPE_CHECKING:
    from coord import Coordinator
    from examples.pipeline.environment import Delivery, Environment

_RUN = "run"
_LONGEST = 60.0


def prepare(c: Coordinator, load: Load) -> None:
    """Open the barrier of all documents, before any producer starts."""
    c.barrier(_RUN).open(parties=load.documents)


def produce(c: Coordinator, env: Environment, load: Load, number: int) -> None:
    """Enqueue every update under a new version of its document, and wait until all of them are settled.

    A document is a request, and its updates are the work of that request. A settled document arrives at the barrier
    of all documents, and exactly one arrival completes it. A rate limit paces all producers together.
    """
    pace = c.limiter("updates", Limit(load.rate, per=1, burst=BURST))
    stats, bursts = c.stats("pipeline"), load.bursts(number)
    for document, revisions in bursts:
        request = c.request(document)
        request.register()
        pace.wait(cost=len(revisions))
        for revision in revisions:
            update = Update(document, revision, c.bump(document), revision == load.updates)
            stats.merge(_RUN, enqueued=1, op_id=f"enqueued {update.id}")
            request.add("updates", update.id)
            env.put(update)
    for document in dict.fromkeys(document for document, _ in bursts):
        stages = c.request(document).wait(_LONGEST)
        stats.merge(_RUN, awaited=stages["updates"].processed, op_id=f"awaited {document}")
        if c.barrier(_RUN).arrive(document).completed:
            stats.merge(_RUN, completed=1)
    env.finish_producer()


def work(c: Coordinator, env: Environment, reach: Reach) -> dict[str, int] | None:
    """Handle updates until none is left; then ask for the statistics, which exactly one worker is given."""
    while (delivery := env.take()) is not None:
        _handle(c, env, reach, delivery)
    return c.stats("pipeline").consume(_RUN)


def _handle(c: Coordinator, env: Environment, reach: Reach, delivery: Delivery) -> None:
    stats, update = c.stats("pipeline"), delivery.update
    # One window an attempt: a copy is dropped, but not what a dead worker left behind.
    first = c.once(f"{update.id} {delivery.attempt}")
    stats.merge(_RUN, delivered=1, deduped=0 if first else 1, op_id=f"delivered {delivery.receipt}")
    if not first:
        env.ack(delivery.receipt)
        return
    lease = c.claim(update.document, ttl=LEASE)
    outcome = _settle(c, env, reach, update, lease.fence) if lease else None
    if outcome is None:
        env.put_back(delivery.receipt)
    else:
        # With the update's id, its outcome counts once however many workers come to this line.
        stats.merge(_RUN, {outcome: 1}, op_id=f"settled {update.id}")
        c.request(update.document).done("updates", update.id)
        reach("counted", update)
        env.ack(delivery.receipt)
    if lease:
        # After a stall another worker may hold the document; releasing then has no effect.
        lease.release()


def _settle(c: Coordinator, env: Environment, reach: Reach, update: Update, fence: int) -> str | None:
    """Write an update and return its outcome; None when another worker holds the document by now."""
    written = env.read(update.document, fence)
    if written is None:
        return None
    if update.revision in written:
        # A worker wrote it, then died or lost its lease before it could count it.
        return "worked"
    if c.is_stale(update.document, update.version):
        return "superseded"
    with c.semaphore("model", limit=MODELS).hold(ttl=PERMIT):
        env.call_model()
    reach("working", update)
    if not env.write(update.document, update.revision, fence):
        return None
    reach("written", update)
    return "worked"
