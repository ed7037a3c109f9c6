"""Barriers and requests: each worker has one lane that meets those of all others, round after round.

In each round every worker registers the same request and opens the same barrier (under one ``op_id``), adds a piece of
work, arrives, waits for the others, finishes its pieces and waits until all are finished. Each barrier has one arrival
that completed it and one callback; no request is complete while a piece of it is pending, and its counts are exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torture.journal import Record
from torture.judging import LOOKS_AGAIN, Finding, Seen
from torture.lane import Lane

__all__ = ["judge", "meet"]

PIECES = 2
WAIT = 15.0
_CALLED_SECONDS = 10.0


async def meet(lane: Lane, parties: int, place: Path) -> None:
    """Meet the others round after round; ``place`` is where a worker that was killed finds its round."""
    mine, watched = place / f"round-{lane.worker}", list[int]()
    # A round that was interrupted is begun again, as a queue delivers work again.
    number = int(mine.read_text()) if mine.exists() else 0
    while not lane.is_over():
        mine.write_text(str(number))
        await _round(lane, number, parties, place, watched)
        number += 1
    barrier = lane.c.barrier(f"b-{number}")
    await lane.call("barriers", barrier.name, "open", lambda: barrier.open(parties, op_id=f"open-{number}"))
    await lane.call("barriers", barrier.name, "abort", lambda: barrier.abort("it is over"))
    waited = 0.0
    while waited < _CALLED_SECONDS and not all((place / f"called-{each}").exists() for each in watched):
        await lane.sleep(0.05)
        waited += 0.05


async def _round(lane: Lane, number: int, parties: int, place: Path, watched: list[int]) -> None:
    name, c, me = f"b-{number}", lane.c, f"m{lane.worker}"
    barrier, request, producer = c.barrier(name), c.request(f"q-{number}"), f"producer-{me}"
    await lane.call("requests", request.id, "register", request.register)
    await lane.call("requests", request.id, "add", lambda: request.add("make", producer), note=producer)
    opened = await lane.count(
        "barriers", name, "open", lambda _: barrier.open(parties, op_id=f"open-{number}"), op_id=f"open-{number}"
    )
    attempt = opened.value if opened.is_done else None
    is_watcher = number % 3 == 0 and lane.worker in (number % parties, (number + 1) % parties)
    if is_watcher:

        def called(status: object) -> None:
            lane.journal.fact("barriers", name, "called", str(status))
            (place / f"called-{number}").touch()

        await lane.call("barriers", name, "watch", lambda: barrier.watch(on_complete=called), show=str)
    for _ in range(1 + (lane.random.random() < 0.3)):
        await lane.call(
            "barriers",
            name,
            "arrive",
            lambda: barrier.arrive(me, attempt),
            show=lambda arrival: [arrival.remaining, arrival.completed, arrival.counted],
            note=me,
        )
    met = await lane.call(
        "barriers", name, "wait", lambda: barrier.wait(WAIT), show=lambda status: [status.state, status.arrived]
    )
    if is_watcher and met.is_done and met.value.state == "complete":
        watched.append(number)
    for piece in range(PIECES):
        root = f"{me}-{piece}"
        await lane.call("requests", request.id, "add", lambda root=root: request.add("make", root), note=root)
    for root in (*(f"{me}-{piece}" for piece in range(PIECES)), producer):
        await lane.call("requests", request.id, "is_complete", request.is_complete)
        await lane.count(
            "requests", request.id, "done", lambda op_id, root=root: request.done("make", root, op_id=op_id), note=root
        )
    if met.is_done and met.value.state == "complete":
        await lane.call(
            "requests",
            request.id,
            "wait",
            lambda: request.wait(WAIT),
            show=lambda stages: [[stage.processed, stage.pending] for stage in stages.values()],
        )


def judge(seen: Seen) -> Iterator[Finding]:
    """Yield what did not hold of barriers and requests."""
    yield from _judge_barriers(seen)
    yield from _judge_requests(seen)


def _judge_barriers(seen: Seen) -> Iterator[Finding]:
    called = seen.facts_of("barriers", "called")
    for name, records in seen.of("barriers").items():
        by_op = {op: [each for each in records if each.op == op] for op in ("open", "arrive", "wait", "watch", "abort")}
        attempts = {each.value for each in by_op["open"] if each.is_done}
        if len(attempts) > 1:
            yield Finding("doubled", f"barrier {name}: attempts {attempts} of one op_id", by_loss=True)
        arrivals = [each for each in by_op["arrive"] if each.is_done]
        completed = [each for each in arrivals if each.value[1]]
        if len(completed) > 1:
            yield Finding("doubled", f"barrier {name}: completed by {len(completed)} arrivals", by_loss=True)
        is_complete = any(each.is_done and each.value[0] == "complete" for each in by_op["wait"])
        sure = all(each.is_done for each in by_op["arrive"])
        if is_complete and sure and not completed:
            yield Finding("lost", f"barrier {name}: completed by no arrival", by_loss=True)
        times = len(called[name]) if name in called else 0
        if times > 1:
            yield Finding("callbacks", f"barrier {name}: {times} callbacks", by_loss=True, count=times - 1)
        if is_complete and not times and not seen.killed and _watched_to_the_end(seen, by_op):
            yield Finding("callbacks", f"barrier {name}: complete, and no callback", by_loss=True)
        for wait in by_op["wait"]:
            since = wait.ended - LOOKS_AGAIN
            over = [each.ended for each in completed if each.ended < since]
            if wait.outcome == "timeout" and over and seen.is_calm(since, wait.ended):
                yield Finding("never woken", f"barrier {name}: complete at {over}, waited until {wait.ended}")


def _watched_to_the_end(seen: Seen, by_op: dict[str, list[Record]]) -> bool:
    """Whether somebody watched it who had the time to be called."""
    waits = [each for each in by_op["wait"] if each.is_done and each.value[0] == "complete"]
    watches = {each.worker for each in by_op["watch"] if each.is_done}
    until = seen.stopped + _CALLED_SECONDS - LOOKS_AGAIN
    return any(each.worker in watches for each in waits) and seen.is_calm(seen.stopped - 1, until)


def _judge_requests(seen: Seen) -> Iterator[Finding]:
    for name, records in seen.of("requests").items():
        done = [each for each in records if each.op == "done"]
        finished = {each.note for each in done if each.is_done and each.value}
        maybe = {each.note for each in done if each.is_open} - finished
        stages = seen.c.request(name).status()
        processed = stages["make"].processed if "make" in stages else 0
        if processed < len(finished):
            yield Finding("lost", f"request {name}: {len(finished)} done, {processed} counted", by_loss=True)
        if processed > len(finished) + len(maybe):
            yield Finding("doubled", f"request {name}: {len(finished)} done, {maybe} unknown, {processed} counted")
        twice = sum(each.is_done and each.value is True for each in done) - len(finished)
        if twice and not seen.killed:
            yield Finding("doubled", f"request {name}: {twice} pieces finished twice", by_loss=True)
        last = max((each.ended for each in done), default=0.0)
        for each in records:
            if each.op == "is_complete" and each.is_done and each.value and not seen.killed:
                # The caller's own piece is pending, unless adding it was not answered.
                mine = [one for one in records if one.op == "add" and one.worker == each.worker]
                if all(one.is_done and one.value for one in mine):
                    yield Finding("doubled", f"request {name}: complete while a piece is pending", by_loss=True)
            since = each.ended - LOOKS_AGAIN
            if each.op == "wait" and each.outcome == "timeout" and last < since and seen.is_calm(since, each.ended):
                pending = stages["make"].pending if "make" in stages else 0
                if not pending:
                    yield Finding("never woken", f"request {name}: waited until {each.ended}, done at {last}")
