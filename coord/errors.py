"""Every error that coord raises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coord.limit import Limit

__all__ = [
    "Closed",
    "ConfigError",
    "CoordError",
    "Corrupt",
    "CountOverflow",
    "ExecutionFailed",
    "FingerprintMismatch",
    "LeaseLost",
    "MissingBarrier",
    "MissingRequest",
    "OutcomeUnknown",
    "QuotaExceeded",
    "ReplyError",
    "ScriptError",
    "Unavailable",
    "WaitTimeout",
    "WrongType",
]


class CoordError(Exception):
    """The base class of all errors of coord, except ``ValueError`` and ``TypeError`` for bad arguments."""


class ConfigError(CoordError):
    """A URL, a setting or a script's own declaration is wrong; nothing was sent."""


class Unavailable(CoordError):
    """Nothing was executed: the server could not be reached, or refused the call.

    Repeating the operation is safe.
    """


class Closed(Unavailable):
    """The coordinator was closed; nothing was sent."""


class OutcomeUnknown(CoordError):
    """The operation may have been executed: it was sent, and no reply arrived in time.

    ``op_id`` is the operation id that was sent with it; None if there was none. Operations that take an ``op_id`` may
    be repeated with this one while the server remembers it: then they take effect once.
    """

    def __init__(self, message: str, op_id: str | None = None) -> None:
        super().__init__(message)
        self.op_id = op_id


class LeaseLost(CoordError):
    """The lease ran out, or another holder has it: stop the work."""


class QuotaExceeded(CoordError):
    """A quota has no room for an amount: ``limit`` refuses it, ``retry_after`` is the seconds until its window ends."""

    def __init__(self, message: str, limit: Limit, retry_after: float) -> None:
        super().__init__(message)
        self.limit = limit
        self.retry_after = retry_after


class WaitTimeout(CoordError, TimeoutError):
    """A wait reached its timeout."""


class MissingBarrier(CoordError):
    """The barrier was never opened, or it has expired."""


class MissingRequest(CoordError):
    """The request is unknown: it was never registered, or it expired or was lost before it was complete."""


class FingerprintMismatch(CoordError):
    """The key of an execution belongs to a call with another fingerprint; nothing was run."""


class ExecutionFailed(CoordError):
    """The function raised an error, which was kept as its result: the name of its ``type``, and its ``message``."""

    def __init__(self, type: str, message: str) -> None:
        super().__init__(f"{type}: {message}" if message else type)
        self.type = type
        self.message = message

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle it by its arguments, which are not those of ``Exception``."""
        return ExecutionFailed, (self.type, self.message)


class Corrupt(CoordError):
    """The key holds a value that coord never wrote; nothing was changed."""


class WrongType(CoordError):
    """The key holds another kind of value than the operation works on; nothing was changed."""


class ScriptError(CoordError):
    """A script failed. The message names its file and, if the server reports it, the line."""


class CountOverflow(ScriptError, OverflowError):
    """A count would overflow a signed 64-bit integer; nothing was changed."""


class ReplyError(Exception):
    """An error reply as the server sent it; coord turns it into one of the errors above.

    Twins raise it where the script would answer an error, with the server's own text.
    """

    @property
    def code(self) -> str:
        """The reply's first word, which names the kind of error."""
        return str(self).partition(" ")[0]
