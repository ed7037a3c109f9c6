"""The interface of everything that can be leased: a name, a permit, a reservation, a membership."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from coord.clock import Clock
from coord.errors import LeaseLost
from coord.ids import new_owner_id, nonce
from coord.names import Seconds, check_name, milliseconds
from coord.plan import Event, Job, Plan
from coord.script import Call
from coord.waiting import wait_seconds

__all__ = ["Attempt", "Grant", "Granted", "Grants", "Leasable", "LeaseRequest", "loss"]


class Granted(Protocol):
    """The answer to a request for a lease; families may give one that says more than ``Grant``."""

    @property
    def granted(self) -> bool:
        """Whether the lease was given."""
        ...

    @property
    def nonce(self) -> str:
        """The attempt that has it: that of the request, or an earlier one of the same owner."""
        ...

    @property
    def fence(self) -> int:
        """The fence of the lease; 0 where there is none."""
        ...

    @property
    def left(self) -> float:
        """Seconds until a refused request may succeed without a notification; negative: no such time is known."""
        ...


class Grant(NamedTuple):
    """The answer to a request: whether it was granted, to which attempt, its fence, and the seconds it stays taken."""

    granted: bool
    nonce: str
    fence: int
    left: float


G = TypeVar("G", bound=Granted)
H = TypeVar("H", bound=Granted)


class Leasable(Protocol[G]):
    """Something that is leased, as calls. A late copy of ``ask`` must not take effect after ``release``."""

    @property
    def name(self) -> str:
        """Its name, for messages."""
        ...

    @property
    def title(self) -> str:
        """The lease as messages name it: "the lease of 'job'"."""
        ...

    @property
    def channel(self) -> str:
        """The key on which a notification is published when it may be free."""
        ...

    def ask(self, owner: str, nonce: str, ttl_ms: int, /) -> Call[G]:
        """Ask for it. The same owner, and the same nonce, get the lease that they have."""
        ...

    def renew(self, nonce: str, ttl_ms: int, /) -> Call[bool]:
        """Hold it for ``ttl_ms`` from now; False if the attempt no longer holds it."""
        ...

    def release(self, nonce: str, /) -> Call[bool]:
        """Release it; False if the attempt no longer held it. The attempt is refused from then on."""
        ...

    def holds(self, nonce: str, fence: int, /) -> Call[bool]:
        """Return whether the attempt holds it at present, under this fence."""
        ...


class Grants(Protocol):
    """The coordinator that grants leases, in either mode."""

    clock: Clock
    call_seconds: float

    @property
    def is_closed(self) -> bool:
        """Whether the coordinator was closed: then its leases are lost."""
        ...

    def follow(self, plan: Plan[Any], /) -> Any:
        """Follow a plan; return its result, or an awaitable of it."""
        ...

    def keep(self, plan: Plan[None], /) -> Job:
        """Follow a plan in the background, where callbacks cannot delay it."""
        ...


@dataclass(slots=True)
class Attempt:
    """The nonce under which a lease is asked for, and whether it was; a new one after a grant that came too late.

    ``event`` wakes it while it waits: then it asks again.
    """

    nonce: str = field(default_factory=nonce)
    asked: bool = False
    event: Event | None = None

    def queued(self, event: Event) -> None:
        """Keep the event that wakes it."""
        self.event = event


@dataclass(frozen=True, slots=True)
class LeaseRequest(Generic[G]):
    """A request for a lease, its arguments checked. ``wait_s`` is None for no limit, 0 for one try."""

    what: Leasable[G]
    ttl_ms: int
    wait_s: float | None
    given_owner: str | None
    wait: Seconds | None = None

    @staticmethod
    def of(what: Leasable[H], ttl: Seconds, wait: Seconds | None = 0, owner: str | None = None) -> LeaseRequest[H]:
        """Check the arguments of ``claim`` and ``hold``: ``ValueError`` or ``TypeError`` says which one is wrong."""
        wait_s = wait_seconds(wait, "wait")
        given = None if owner is None else check_name(owner, "owner")
        return LeaseRequest(what, milliseconds(ttl), wait_s, given, wait)

    def owner(self) -> str:
        """Return the owner that was given, or a new one."""
        return self.given_owner or new_owner_id()


def loss(what: Leasable[Any], fence: int, *, released: bool) -> LeaseLost:
    """Return the error for a lease that is no longer held."""
    if released:
        return LeaseLost(f"{what.title} was released")
    return LeaseLost(f"{what.title} (fence {fence}) ran out or was taken: stop the work")
