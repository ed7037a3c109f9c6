"""A family of a user, written with public names alone: a hotel with a few beds, whose guests wait for their turn."""

from __future__ import annotations

from coord.extend import Call, Family, Keyspace, M, Plan, Runs, Script, Seconds, in_turn, op, planned

__all__ = ["CHECK_IN", "CHECK_OUT", "CHECK_OUT_LUA", "Hotel"]

CHECK_IN = Script(
    "check_in",
    """\
-- check_in: give a guest a bed, if one is free.
--
-- KEYS   hotel   set, expiring: the guests          coord:hotel:{name}
-- ARGV   guest   name    who asks; one that has a bed keeps it
--        beds    count   how many there are
--        ttl_ms  ms      how long the hotel is kept
-- REPLY  1 when the guest has a bed now, else 0
-- ERRORS WRONGTYPE
-- COST   O(1), two writes when given
-- REPEAT safe: a guest has one bed

local hotel = KEYS[1]
local guest, beds, ttl_ms = ARGV[1], ARGV[2], ARGV[3]

local has = redis.pcall("SISMEMBER", hotel, guest)
if type(has) == "table" then
  return has
end
if has == 0 and redis.call("SCARD", hotel) >= tonumber(beds) then
  return 0
end
redis.call("SADD", hotel, guest)
redis.call("PEXPIRE", hotel, ttl_ms)
return 1
""",
)
CHECK_OUT_LUA = """\
-- check_out: free a guest's bed, and wake a waiter.
--
-- KEYS   hotel   set, expiring: the guests          coord:hotel:{name}
-- ARGV   guest   name    who leaves
--        publish  PUBLISH|SPUBLISH   how this server wakes waiters
-- REPLY  1 when the guest had a bed, else 0
-- ERRORS WRONGTYPE
-- COST   O(1), one write and a notification when freed

local hotel = KEYS[1]
local guest, publish = ARGV[1], ARGV[2]

local left = redis.pcall("SREM", hotel, guest)
if left == 1 then
  redis.call(publish, hotel, "free")
end
return left
"""


def _check_out(space: Keyspace, hotel: str, guest: str, publish: str) -> int:
    left = space.srem(hotel, guest)
    if left:
        space.publish(hotel, "free")
    return left


CHECK_OUT = Script("check_out", CHECK_OUT_LUA, _check_out)


class Hotel(Family[M]):
    """A hotel with a few beds."""

    def __init__(self, c: Runs[M], name: str, beds: int = 1) -> None:
        super().__init__(c)
        self.name, self.beds = name, beds
        self._key = self.ops.key("hotel", name)

    @op
    def check_in(self, guest: str) -> Call[bool]:
        """Take a bed; return whether one was free."""
        return self.ops.call(CHECK_IN, (self._key,), (guest, self.beds, 3_600_000), bool)

    @op
    def check_out(self, guest: str) -> Call[bool]:
        """Free the bed of a guest; return whether there was one."""
        return self.ops.call(CHECK_OUT, (self._key,), (guest, self.ops.publish), bool)

    @planned
    def await_bed(self, guest: str, timeout: Seconds | None = None) -> Plan[bool]:
        """Take a bed as soon as one is free; raises ``WaitTimeout``."""
        hotel = Hotel(self.ops.calls, self.name, self.beds)
        leave = lambda: hotel.check_out(guest)  # noqa: E731  # a def is longer
        return in_turn(self.ops, self._key, lambda: hotel.check_in(guest), timeout, what="a bed", undo=leave)
