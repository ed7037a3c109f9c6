"""Compound operations for services that run as many instances.

Each is one Lua script on Redis or Valkey: atomic, one round trip. The same operations run in this process,
with no server, with the same replies and the same keys afterwards.

    import coord

    with coord.connect("memory://") as c:
        if c.once("welcome-mail:42", ttl=45):
            ...
"""

from coord.barriers import Arrival, BarrierStatus
from coord.claims import Holder
from coord.config import from_config
from coord.connecting import connect, connect_async, get_coordinator, set_coordinator
from coord.coordinator import AsyncCoordinator, Coordinator
from coord.errors import (
    Closed,
    ConfigError,
    CoordError,
    Corrupt,
    CountOverflow,
    ExecutionFailed,
    FingerprintMismatch,
    LeaseLost,
    MissingBarrier,
    MissingRequest,
    OutcomeUnknown,
    QuotaExceeded,
    ScriptError,
    Unavailable,
    WaitTimeout,
    WrongType,
)
from coord.execution import Execution, ExecutionStatus
from coord.group import AsyncMembership, Member, Membership
from coord.leader import AsyncLeader, Leader
from coord.leases import AsyncLease, Lease
from coord.limit import Limit
from coord.limiter import Limiter, Verdict
from coord.memory import Keyspace
from coord.quota import AsyncReservation, QuotaStatus, Reservation
from coord.requests import StageStatus
from coord.script import Call, Script
from coord.semaphore import AsyncPermit, Permit, PermitHolder
from coord.versions import Bump

__version__ = "0.1.0"

__all__ = [
    "Arrival",
    "AsyncCoordinator",
    "AsyncLeader",
    "AsyncLease",
    "AsyncMembership",
    "AsyncPermit",
    "AsyncReservation",
    "BarrierStatus",
    "Bump",
    "Call",
    "Closed",
    "ConfigError",
    "CoordError",
    "Coordinator",
    "Corrupt",
    "CountOverflow",
    "Execution",
    "ExecutionFailed",
    "ExecutionStatus",
    "FingerprintMismatch",
    "Holder",
    "Keyspace",
    "Leader",
    "Lease",
    "LeaseLost",
    "Limit",
    "Limiter",
    "Member",
    "Membership",
    "MissingBarrier",
    "MissingRequest",
    "OutcomeUnknown",
    "Permit",
    "PermitHolder",
    "QuotaExceeded",
    "QuotaStatus",
    "Reservation",
    "Script",
    "ScriptError",
    "StageStatus",
    "Unavailable",
    "Verdict",
    "WaitTimeout",
    "WrongType",
    "connect",
    "connect_async",
    "from_config",
    "get_coordinator",
    "set_coordinator",
]
