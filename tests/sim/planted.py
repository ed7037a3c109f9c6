"""Bugs to plant into a copy of coord, each a small patch to a twin or to the client, and the workload that finds it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PLANTED", "REVERTED", "Planted"]


@dataclass(frozen=True)
class Planted:
    """A bug: in ``file``, ``old`` becomes ``new``. ``workload`` finds it within ``seeds`` runs on ``topology``."""

    name: str
    workload: str
    file: str
    old: str
    new: str
    topology: str = "standalone"
    seeds: int = 400
    first: int = 0
    """The seed that found it the last time, where the search begins."""
    faults: tuple[str, ...] = ()
    """The kinds of faults that show it; all, when empty."""
    reverts: str = ""
    """The mended bug that it brings back: a line of tests/faults/README.md."""


PLANTED = (
    Planted(
        "a claim ignores the tombstone of its nonce",
        "claims.ghosts",
        "claims.py",
        "    if space.exists(tombstone, answered):\n",
        "    if space.exists(answered):\n",
        seeds=1000,
        first=58,
    ),
    Planted(
        "a release does not compare the nonce",
        "claims.leases",
        "claims.py",
        "    if attempt == nonce:\n        space.set(tombstone",
        "    if attempt:\n        space.set(tombstone",
        first=20,
    ),
    Planted(
        "the deadline counts from the reply",
        "claims.leases",
        "leases/acquiring.py",
        "    held = Held(ops, request.what, owner, grant, request.ttl_ms, started)\n",
        "    held = Held(ops, request.what, owner, grant, request.ttl_ms, ops.clock.monotonic())\n",
        first=27,
    ),
    Planted(
        "a fence is counted, and starts again once the key is gone",
        "claims.leases",
        "lualib.py",
        "    return str(max(seconds * 1_000_000 + micros, int(before or 0) + 1))\n",
        "    return str(int(before or 0) + 1)\n",
        first=2,
    ),
    Planted(
        "a fence is the clock alone, which can go back",
        "claims.leases",
        "lualib.py",
        "    return str(max(seconds * 1_000_000 + micros, int(before or 0) + 1))\n",
        "    return str(seconds * 1_000_000 + micros)\n",
        seeds=1000,
        first=736,
    ),
    Planted(
        "a release publishes no notice",
        "claims.handovers",
        "claims.py",
        '        space.publish(claim, "free")\n',
        "        pass\n",
    ),
    Planted(
        "a claim has no TTL",
        "claims.leases",
        "claims.py",
        '    space.set(claim, f"{owner}|{nonce}|{fence}", px=ttl_ms)\n',
        '    space.set(claim, f"{owner}|{nonce}|{fence}")\n',
    ),
    Planted(
        "a cancelled claim is not taken back",
        "claims.ghosts",
        "leases/acquiring.py",
        "lambda: compensation(request.what, attempt.nonce, request.ttl_ms) if attempt.asked else None",
        "lambda: None",
        first=7,
    ),
    Planted(
        "a cancelled release is forgotten",
        "claims.ghosts",
        "leases/keeping.py",
        "        held.mark_released()\n        yield undo\n        raise\n",
        "        held.mark_released()\n        raise\n",
        seeds=1000,
        first=22,
    ),
    Planted(
        "the holder does not learn of a loss when its renewal was refused",
        "claims.leases",
        "leases/keeping.py",
        "        held.mark_lost()\n    return renewed\n",
        "        pass\n    return renewed\n",
        seeds=1000,
        first=11,
    ),
    Planted(
        "the end of a lease is noticed late",
        "claims.leases",
        "leases/held.py",
        "        yield Sleep(max(0.0, held.left), 0.0)\n",
        "        yield Sleep(max(0.0, held.left) + 0.5, 0.0)\n",
    ),
    Planted(
        "a merge forgets its operation id",
        "stats.pieces",
        "stats.py",
        '    remember(space, op, sequence, remember_ms, "1")\n',
        '    remember(space, op, sequence, 0, "1")\n',
        first=1,
    ),
    Planted(
        "a batch that was taken is not kept for the repetition",
        "stats.pieces",
        "stats.py",
        "        space.rename(stats, batch)\n        space.pexpire(batch, remember_ms)\n",
        "        space.delete(stats)\n",
        first=2,
    ),
    Planted(
        "what may have run is repeated, whatever the script says",
        "stats.pieces",
        "redis/callstate.py",
        "        if not self._repeatable:\n",
        "        if not self:\n",
    ),
    Planted(
        "what cannot be repeated is reported as not run",
        "stats.pieces",
        "redis/callstate.py",
        "        first, self._maybe_ran = not self._maybe_ran, True\n",
        "        first = not self._maybe_ran\n",
    ),
    Planted(
        "an increment forgets its operation id",
        "kv.counts",
        "kv.py",
        "    remember(space, op, sequence, remember_ms, total)\n",
        "    remember(space, op, sequence, 0, total)\n",
        first=1,
    ),
    Planted(
        "two calls in a row have the same sequence number",
        "kv.counts",
        "redis/slots.py",
        "        self._sequence = sequence = self._sequence + 1\n",
        "        sequence = self._sequence + 1\n",
        first=1,
    ),
    Planted(
        "a script that the server forgot is not loaded again",
        "versions.bumps",
        "redis/callstate.py",
        "        self.needs_script = True\n",
        "        self.needs_script = False\n",
    ),
    Planted(
        "the reply of a caller that has left goes to the next",
        "kv.counts",
        "redis/asyncconnection.py",
        "            future = popleft()\n",
        "            future = popleft()\n            while future.done() and self._pending:\n"
        "                future = popleft()\n",
    ),
    Planted(
        "a callback runs for each watcher",
        "barriers.watchers",
        "barriers.py",
        "    return int(fired == nonce)\n",
        "    return 1\n",
        first=1,
    ),
    Planted(
        "a permit is granted without looking at its weight",
        "semaphores.permits",
        "semaphore.py",
        "    if space.exists(tombstone, answered) or used + weight > limit:\n",
        "    if space.exists(tombstone, answered) or used + 1 > limit:\n",
        first=4,
    ),
    Planted(
        "a released permit gives back less than its weight",
        "semaphores.handovers",
        "semaphore.py",
        '            space.zadd(semaphore, int(weight) - used, "used")\n',
        '            space.zadd(semaphore, 1 - used, "used")\n',
    ),
    Planted(
        "a permit ignores the tombstone of its nonce",
        "semaphores.ghosts",
        "semaphore.py",
        "    if space.exists(tombstone, answered) or used + weight > limit:\n",
        "    if space.exists(answered) or used + weight > limit:\n",
        seeds=1500,
        first=58,
    ),
    Planted(
        "a released permit wakes no waiter",
        "semaphores.handovers",
        "semaphore.py",
        '            space.publish(semaphore, "free")\n',
        "            pass\n",
    ),
    Planted(
        "a hit forgets its operation id",
        "limiters.hits",
        "limiter/judging.py",
        "    remember(space, op, sequence, remember_ms, answer)\n",
        "    remember(space, op, sequence, 0, answer)\n",
        first=7,
    ),
    Planted(
        "a hit passes when less than its cost is left",
        "limiters.hits",
        "limiter/judging.py",
        "        if row.wait > longest:\n",
        "        if row.wait - row.cost_us > longest:\n",
        first=25,
    ),
    Planted(
        "a limiter expires before it is full",
        "limiters.hits",
        "limiter/judging.py",
        "    keep_until(space, limiter, full, now)\n    remember(space, op, sequence, remember_ms, answer)\n",
        "    keep_until(space, limiter, now, now)\n    remember(space, op, sequence, remember_ms, answer)\n",
    ),
    Planted(
        "a waiter that leaves returns its place although more was booked since",
        "limiters.places",
        "limiter/booking.py",
        "            last = last and time == moment(int(after_us) + shift, int(after_part))\n",
        "            last = last and time is not None\n",
        first=113,
    ),
    Planted(
        "a reservation is admitted without looking at what is held",
        "quotas.budgets",
        "quota/windows.py",
        "        fit.append(row.spent + row.held + amount <= most)\n",
        "        fit.append(row.spent + amount <= most)\n",
        first=3,
    ),
    Planted(
        "a settlement is booked once for each copy",
        "quotas.settlements",
        "quota/windows.py",
        '    if state != "held":\n        return int(state == verdict',
        '    if state not in ("held", "settled"):\n        return int(state == verdict',
        first=1,
    ),
    Planted(
        "a spend forgets its operation id",
        "quotas.settlements",
        "quota/windows.py",
        '    remember(space, op, sequence, remember_ms, "1")\n',
        '    remember(space, op, sequence, 0, "1")\n',
    ),
    Planted(
        "what a dead holder reserved never returns",
        "quotas.budgets",
        "quota/windows.py",
        '    for member in space.zrangebyscore(held, "-inf", now):\n',
        '    for member in space.zrangebyscore(held, "-inf", 0):\n',
    ),
    Planted(
        "a reservation whose reply was lost is reserved again",
        "quotas.budgets",
        "quota/windows.py",
        '    if found and (is_held or maker == nonce or state == "settled"):\n',
        '    if found and state == "settled":\n',
        first=49,
    ),
    Planted(
        "a dead member is listed",
        "groups.memberships",
        "group/scripts.py",
        "            if deadline >= now:\n                reply +=",
        "            if deadline:\n                reply +=",
        first=6,
    ),
    Planted(
        "the first heartbeat comes after the end",
        "groups.presence",
        "group/membership.py",
        "        due = started + state.ttl_ms / 3000\n",
        "        due = started + state.ttl_ms / 900\n",
        first=9,
    ),
    Planted(
        "a taken over membership does not hear of it",
        "groups.takeovers",
        "group/membership.py",
        "        self.remove(state)\n        state.lose()\n\n",
        "        self.remove(state)\n\n",
    ),
    Planted(
        "a result of an attempt that was overtaken is accepted",
        "executions.attempts",
        "execution.py",
        '    if state == "running" and current == attempt:\n        space.pexpire(execution, keep_ms)\n',
        '    if state == "running" or state == "done":\n        space.pexpire(execution, keep_ms)\n',
        first=3,
    ),
    Planted(
        "a runner returns its own result although that was refused",
        "executions.results",
        "idempotent.py",
        "    if accepted:\n        held.mark_released()\n",
        "    if accepted or outcome:\n        held.mark_released()\n",
        seeds=1000,
        first=2,
    ),
    Planted(
        "the work of a leader goes on after the loss",
        "leaders.terms",
        "plan.py",
        "            is_lost = True\n            task.cancel()\n",
        "            is_lost = True\n",
        first=9,
    ),
)
"""Bugs that each family could have."""

_COPIES = ("request_late", "duplicate", "slow", "reply_lost")
_LATE = 'a first copy that arrived after its repetition was answered "no" took effect'

REVERTED = (
    Planted(
        "a late claim takes effect after its repetition was refused",
        "claims.ghosts",
        "claims.py",
        "    if space.exists(tombstone, answered):\n",
        "    if space.exists(tombstone):\n",
        faults=_COPIES,
        seeds=600,
        reverts=_LATE,
        first=106,
    ),
    Planted(
        "a late once closes the window that was opened since",
        "claims.windows",
        "claims.py",
        '    if before is not None:\n        return int(before == "1")\n    if held is not None:\n',
        "    if held is not None:\n",
        faults=_COPIES,
        seeds=600,
        reverts=_LATE,
        first=58,
    ),
    Planted(
        "a late consume takes what its repetition did not find",
        "stats.pieces",
        "stats.py",
        '        if repeated == "1" and remember_ms:\n            space.delete(batch)\n',
        "        if not repeated:\n            space.delete(batch)\n",
        faults=_COPIES,
        seeds=600,
        reverts=_LATE,
        first=33,
    ),
    Planted(
        "a refusal is not kept for late copies",
        "kv.lifetimes",
        "lualib.py",
        '    if repeated == "1" and remember_ms:\n',
        "    if not repeated and remember_ms:\n",
        faults=_COPIES,
        seeds=600,
        reverts=_LATE,
        first=56,
    ),
    Planted(
        "an arrival forgets the answer that it gave",
        "barriers.arrivals",
        "barriers.py",
        "    if first == nonce:\n        return reply(1, left, int(left == 0), 1)\n",
        "",
        reverts="a barrier opened again forgot the answers of the attempt before",
        first=7,
    ),
    Planted(
        "a piece that was done is answered no when the reply was lost",
        "requests.pieces",
        "requests.py",
        '    if state == f"done|{nonce}":\n',
        '    if state == f"done by {nonce}":\n',
        reverts="a lost reply of done answered False",
        first=2,
    ),
    Planted(
        "a requeue counts once for each copy",
        "requests.pieces",
        "requests.py",
        '    remember(space, op, sequence, remember_ms, "1")\n    return 1\n\n\ndef _pending',
        "    return 1\n\n\ndef _pending",
        faults=_COPIES,
        seeds=600,
        reverts=_LATE,
        first=6,
    ),
    Planted(
        "a window that was opened is answered no when the reply was lost",
        "claims.windows",
        "claims.py",
        '    space.delete(once)\n    remember(space, op, sequence, remember_ms, "1")\n',
        "    space.delete(once)\n",
        reverts="forget had no operation id",
    ),
    Planted(
        "a deletion forgets its operation id",
        "kv.lifetimes",
        "kv.py",
        '    remember(space, op, sequence, remember_ms, "1")\n    return 1\n\n\nINCR = ',
        "    return 1\n\n\nINCR = ",
        reverts="operations that count had no op_id",
        first=19,
    ),
    Planted(
        "the topology is not asked for while the clock stands still",
        "versions.bumps",
        "redis/router.py",
        "        self._refreshed = -math.inf\n",
        "        self._refreshed = self._now() - _REFRESH_SECONDS\n",
        topology="cluster",
        seeds=3,
        reverts="connecting to a cluster never ended when the clock had not moved",
    ),
)
"""Reverts of bugs that were found and mended."""
