"""A tooz driver over coord: groups, the events of their members, leaders, locks and shared locks.

    tooz.coordination.get_coordinator("coord+redis://host:6379/0", b"member-1")

Everything after ``coord+`` is a URL that ``coord.connect`` takes. tooz finds drivers by entry points, one a scheme:

    [project.entry-points."tooz.backends"]
    "coord+redis" = "examples.tooz_driver:CoordDriver"
    "coord+memory" = "examples.tooz_driver:CoordDriver"

Options, in the query of the URL: ``timeout`` (seconds that a dead member, leader or lock holder is still counted; 30)
and ``namespace`` (the prefix of the keys). Members, leaders and locks are renewed in the background, so ``heartbeat``
is not needed. A member whose process has died is gone after ``timeout``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar, cast
from urllib.parse import urlsplit

import tooz
from tooz import coordination, locking

import coord
from coord.extend import Call, Family, M, Script, op

__all__ = ["CoordDriver", "CoordLock"]

T = TypeVar("T")

_GROUPS = "tooz-groups"
_ALL = 1_000_000
"""The weight of an exclusive lock; a shared one weighs 1."""

_NAMES = Script(
    "tooz_names",
    """-- tooz_names: list the names in a set.
--
-- KEYS   names    set: what was created                    coord:kv:{name}
-- ARGV   none
-- REPLY  {name, ...}
-- ERRORS WRONGTYPE
-- COST   O(names)

local names = KEYS[1]

return redis.pcall("SMEMBERS", names)
""",
    lambda space, names: sorted(space.smembers(names)),
)


class _Created(Family[M]):
    """The groups that were created: ``kv`` adds and removes names, and this reads them all."""

    @op
    def names(self) -> Call[list[str]]:
        return self.ops.call(_NAMES, (self.ops.key("kv", _GROUPS),), (), list)


class _Joined(NamedTuple):
    """A membership of this process, and the block that leaving ends."""

    block: Any
    membership: coord.Membership


class CoordDriver(coordination.CoordinationDriverCachedRunWatchers):
    """A coordinator of tooz whose state is in coord."""

    CHARACTERISTICS: tuple[coordination.Characteristics, ...] = (
        coordination.Characteristics.DISTRIBUTED_ACROSS_THREADS,
        coordination.Characteristics.DISTRIBUTED_ACROSS_PROCESSES,
        coordination.Characteristics.DISTRIBUTED_ACROSS_HOSTS,
        coordination.Characteristics.LINEARIZABLE,
    )

    def __init__(self, member_id: bytes, parsed_url: Any, options: dict[str, list[str]]) -> None:
        super().__init__(member_id, parsed_url, options)
        parts = urlsplit(parsed_url.geturl())
        self._url = parts._replace(scheme=parts.scheme.removeprefix("coord+"), query="", fragment="").geturl()
        if self._url.startswith("memory:"):
            self.CHARACTERISTICS = self.CHARACTERISTICS[:1]
            # The scheme loses its slashes where nothing follows them.
            self._url = f"memory://{parts.netloc}"
        self._ttl = float(options.get("timeout", ["30"])[-1])
        self._prefix = options.get("namespace", ["tooz"])[-1] + ":"
        self._member = _text(member_id)
        self._c: coord.Coordinator | None = None
        self._members: dict[bytes, _Joined] = {}
        self._terms: dict[bytes, coord.Lease] = {}
        self._locks: set[CoordLock] = set()

    # --- connecting ------------------------------------------------------------------------------

    def _start(self) -> None:
        try:
            self._c = coord.connect(self._url, prefix=self._prefix, ttl=None)
            self._c.ping()
        except (coord.CoordError, ValueError) as error:
            raise coordination.ToozConnectionError(str(error)) from error

    def _stop(self) -> None:
        for group_id in list(self._terms):
            self.stand_down_group_leader(group_id)
        for lock in list(self._locks):
            while lock.release():
                pass
        if self._c is not None:
            self._c.close()
            self._c = None

    @property
    def coordinator(self) -> coord.Coordinator:
        """What coord calls a coordinator: here, the connection."""
        if self._c is None:
            raise tooz.ToozError("the coordinator has not been started")
        return self._c

    def group(self, group_id: bytes) -> Any:
        """Return the group of coord that has the members."""
        return self.coordinator.group(_text(group_id), ttl=self._ttl)

    # --- groups ----------------------------------------------------------------------------------

    def create_group(self, group_id: bytes) -> coordination.CoordinatorResult[None]:
        """Create a group. In coord a group needs no creation: the name is kept in a set, for tooz."""

        def create() -> None:
            if not self.coordinator.kv.sadd(_GROUPS, _text(group_id)):
                raise coordination.GroupAlreadyExist(group_id)

        return _result(create)

    def get_groups(self) -> coordination.CoordinatorResult[list[bytes]]:
        """Return the names of the groups that were created."""
        return _result(lambda: [name.encode() for name in _Created(self.coordinator).names()])

    def delete_group(self, group_id: bytes) -> coordination.CoordinatorResult[None]:
        """Delete a group without members. A member that joins at the same moment stays in a deleted group."""

        def delete() -> None:
            if self._living(group_id):
                raise coordination.GroupNotEmpty(group_id)
            if not self.coordinator.kv.srem(_GROUPS, _text(group_id)):
                raise coordination.GroupNotCreated(group_id)

        return _result(delete)

    def join_group(
        self, group_id: bytes, capabilities: coordination.Capabilities | None = None
    ) -> coordination.CoordinatorResult[None]:
        """Join, with ``capabilities`` that are JSON of at most 64 KiB."""

        def join() -> None:
            if self._member in self._living(group_id):
                raise coordination.MemberAlreadyExist(group_id, self._member_id)
            self._join(group_id, capabilities)
            self._joined_groups.add(group_id)

        return _result(join)

    def leave_group(self, group_id: bytes) -> coordination.CoordinatorResult[None]:
        """Leave; a membership of another process under this name is taken over, and then ended."""

        def leave() -> None:
            if self._member not in self._living(group_id):
                self._joined_groups.discard(group_id)
                raise coordination.MemberNotJoined(group_id, self._member_id)
            joined = self._members.pop(group_id, None)
            if joined is None or joined.membership.lost.is_set():
                self._join(group_id, None)
                joined = self._members.pop(group_id)
            self._joined_groups.discard(group_id)
            joined.block.__exit__(None, None, None)

        return _result(leave)

    def update_capabilities(
        self, group_id: bytes, capabilities: coordination.Capabilities
    ) -> coordination.CoordinatorResult[None]:
        """Join again under the same name, which takes over this process's own membership."""

        def update() -> None:
            before = self._members.get(group_id)
            if before is None or self._member not in self._living(group_id):
                raise coordination.MemberNotJoined(group_id, self._member_id)
            self._join(group_id, capabilities)
            before.block.__exit__(None, None, None)

        return _result(update)

    def get_members(self, group_id: bytes) -> coordination.CoordinatorResult[set[bytes]]:
        """Return the members that are alive."""
        return _result(lambda: {name.encode() for name in self._living(group_id)})

    def get_members_with_capabilities(
        self, group_id: bytes
    ) -> coordination.CoordinatorResult[dict[bytes, coordination.Capabilities | None]]:
        """Return the members that are alive and their capabilities, in one round trip."""
        return _result(lambda: {name.encode(): found.metadata for name, found in self._living(group_id).items()})

    def get_member_capabilities(
        self, group_id: bytes, member_id: bytes
    ) -> coordination.CoordinatorResult[coordination.Capabilities | None]:
        """Return the capabilities of one member."""
        return _result(lambda: self._one(group_id, member_id).metadata)

    def get_member_info(self, group_id: bytes, member_id: bytes) -> coordination.CoordinatorResult[dict[str, Any]]:
        """Return the capabilities of one member, and its incarnation: a member that came back has a higher one."""

        def info() -> dict[str, Any]:
            found = self._one(group_id, member_id)
            return {"capabilities": found.metadata, "incarnation": found.incarnation}

        return _result(info)

    def _join(self, group_id: bytes, capabilities: coordination.Capabilities | None) -> None:
        block = self.group(group_id).join(self._member, metadata=capabilities)
        self._members[group_id] = _Joined(block, block.__enter__())

    def _living(self, group_id: bytes) -> dict[str, coord.Member]:
        """Return the members of a group that was created, by name; both are read in one write to the server."""
        calls = self.coordinator.calls
        members = calls.group(_text(group_id), ttl=self._ttl).members()
        asked: list[Call[Any]] = [_Created(calls).names(), members]
        created, living = self.coordinator.run_many(asked)
        for answer in (created, living):
            if isinstance(answer, Exception):
                raise answer
        if _text(group_id) not in cast("list[str]", created):
            raise coordination.GroupNotCreated(group_id)
        return {each.member: each for each in cast("list[coord.Member]", living)}

    def _one(self, group_id: bytes, member_id: bytes) -> coord.Member:
        found = self._living(group_id).get(_text(member_id))
        if found is None:
            raise coordination.MemberNotJoined(group_id, member_id)
        return found

    # --- leaders ---------------------------------------------------------------------------------

    def run_watchers(self, timeout: float | None = None) -> list[Any]:
        """Call the callbacks for what has changed, and campaign where this member wants to lead."""
        with _translated():
            result: list[Any] = super().run_watchers(timeout=timeout)
        self.run_elect_coordinator()
        return result

    def run_elect_coordinator(self) -> None:
        """Try to become the leader of each group whose election is watched.

        ``coord.leader`` runs work while it leads. tooz asks now and then, and wants its member's name to be that of the
        leader: this is a claim in that name, which is renewed in the background.
        """
        for group_id, hooks in list(self._hooks_elected_leader.items()):
            if group_id in self._terms and not self._terms[group_id].lost.is_set():
                continue
            with _translated():
                lease = self.coordinator.claim(_election(group_id), ttl=self._ttl, owner=self._member, renew=True)
            if lease is not None:
                self._terms[group_id] = lease
                hooks.run(coordination.LeaderElected(group_id, self._member_id))

    def stand_down_group_leader(self, group_id: bytes) -> bool:
        """Stop leading; False when this member did not lead."""
        lease = self._terms.pop(group_id, None)
        with _translated():
            return lease is not None and lease.release()

    def get_leader(self, group_id: bytes) -> coordination.CoordinatorResult[Any]:
        """Return the member that leads; None when there is no leader."""

        def leader() -> bytes | None:
            holder = self.coordinator.holder(_election(group_id))
            return None if holder is None else holder.owner.encode()

        return _result(leader)

    # --- locks -----------------------------------------------------------------------------------

    def get_lock(self, name: bytes) -> CoordLock:
        """Return a lock, exclusive or shared."""
        return CoordLock(self, name)


class CoordLock(locking.Lock):
    """A lock as a semaphore of ``_ALL``: an exclusive lock takes all of it, a shared one takes 1."""

    def __init__(self, driver: CoordDriver, name: bytes) -> None:
        super().__init__(name)
        self._driver = driver
        self._held: list[tuple[Any, coord.Permit]] = []

    def acquire(self, blocking: bool | float = True, shared: bool = False, timeout: float | None = None) -> bool:
        """Take the lock. ``blocking``: False: one try; a number: wait so many seconds at most."""
        if blocking is False:
            wait: float | None = 0
        else:
            wait = timeout if blocking is True else blocking
        with _translated():
            block = self._semaphore().hold(ttl=self._driver._ttl, wait=wait, weight=1 if shared else _ALL)
            try:
                permit = block.__enter__()
            except coord.WaitTimeout:
                return False
        self._held.append((block, permit))
        self._driver._locks.add(self)
        return True

    def release(self) -> bool:
        """Release the lock; False when this object does not hold it, or has lost it."""
        try:
            block, _ = self._held.pop()
        except IndexError:
            self._driver._locks.discard(self)
            return False
        with _translated():
            try:
                block.__exit__(None, None, None)
            except coord.LeaseLost:
                return False
        return True

    def is_still_owner(self) -> bool:
        """Return whether the lock is held, as far as this process knows."""
        return any(not permit.lost.is_set() for _, permit in self._held)

    def break_(self) -> bool:
        """Release the lock of any holder. An owner that asks again gets its own permit, which can be released."""
        with _translated():
            semaphore = self._semaphore()
            permits = [
                semaphore.claim(ttl=self._driver._ttl, weight=each.weight, owner=each.owner)
                for each in semaphore.holders()
            ]
            released = [permit.release() for permit in permits if permit is not None]
        return True in released

    def _semaphore(self) -> Any:
        return self._driver.coordinator.semaphore(_text(self.name), limit=_ALL)


def _result(ask: Callable[[], T]) -> coordination.CoordinatorResult[T]:
    """Ask now, and keep the answer or the error for ``get``."""
    future: Future[T] = Future()
    try:
        with _translated():
            future.set_result(ask())
    except tooz.ToozError as error:
        future.set_exception(error)
    return coordination.CoordinatorResult(future)


@contextmanager
def _translated() -> Iterator[None]:
    """Raise errors of coord as those of tooz."""
    try:
        yield
    except coord.Unavailable as error:
        raise coordination.ToozConnectionError(str(error)) from error
    except coord.CoordError as error:
        raise tooz.ToozError(str(error)) from error


def _election(group_id: bytes) -> str:
    return f"leader of {_text(group_id)}"


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name
