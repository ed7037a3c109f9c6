"""A rolling upgrade: two versions of a script on the same keys."""

from __future__ import annotations

import pytest

import coord
from coord.testing.upgrade import check_upgrade

OLD = """\
-- spend: take from a budget if it suffices.
--
-- KEYS   budget   string, expiring: what is left         coord:budget:{name}
-- ARGV   amount   count   how much to take
--        ttl_ms   ms      how long the budget is kept
-- REPLY  1 when it was taken, else 0
-- ERRORS WRONGTYPE, SHOP_CORRUPT
-- COST   O(1), one write when taken

local budget = KEYS[1]
local amount, ttl_ms = ARGV[1], ARGV[2]

local left = redis.pcall("GET", budget)
if type(left) == "table" then
  return left
end
if left and not string.find(left, "^%d+$") then
  return redis.error_reply("SHOP_CORRUPT this budget was not written by the shop")
end
if tonumber(left or 5) < tonumber(amount) then
  return 0
end
redis.call("SET", budget, tonumber(left or 5) - amount, "PX", ttl_ms)
return 1
"""
READS_BOTH = OLD.replace("1 when it was taken, else 0", "{taken, left}").replace(
    "return 0", 'return { 0, left or "5" }'
)
READS_BOTH = READS_BOTH.replace("return 1", 'return { 1, redis.call("GET", budget) }')
WRITES_ANOTHER_FORM = (
    OLD.replace('tonumber(left or 5) - amount, "PX"', '"left=" .. 5, "PX"')
    .replace('string.find(left, "^%d+$")', 'string.find(left, "%d+$")')
    .replace("tonumber(left or 5)", 'tonumber(string.match(left or "5", "%d+$"))')
)
STORES_A_HASH = (
    OLD.replace("string, expiring", "hash, expiring")
    .replace('redis.pcall("GET", budget)', 'redis.pcall("HGET", budget, "left")')
    .replace(
        'redis.call("SET", budget, tonumber(left or 5) - amount, "PX", ttl_ms)',
        'redis.call("HSET", budget, "left", tonumber(left or 5) - amount)\nredis.call("PEXPIRE", budget, ttl_ms)',
    )
)
KEEPS_FOR_EVER = OLD.replace("string, expiring:", "string:").replace(', "PX", ttl_ms)', ")")


def _found(new: str) -> str:
    old, script = coord.Script("spend", OLD), coord.Script("spend", new)
    return "\n".join(finding.what for finding in check_upgrade([old], [script], histories=100))


@pytest.mark.slow
@pytest.mark.parametrize("new", [OLD, READS_BOTH], ids=["the same", "another reply"])
def test_a_version_that_keeps_the_form_of_its_keys_may_be_rolled_out(new: str) -> None:
    assert _found(new) == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("new", "says"),
    [
        (WRITES_ANOTHER_FORM, "answers SHOP_CORRUPT on keys that both versions write"),
        (STORES_A_HASH, "coord:budget:{name} is a hash, and was a string: use another key"),
        (KEEPS_FOR_EVER, "coord:budget:{name} was expiring: the old version relies on its TTL"),
    ],
    ids=["another form", "another kind", "no TTL"],
)
def test_a_version_that_the_old_one_cannot_live_with_is_found(new: str, says: str) -> None:
    assert says in _found(new)


def test_both_versions_are_on_the_server_side_by_side(c: coord.Coordinator) -> None:
    """An instance of each version, on the same budget."""
    old = coord.Script("spend", OLD)
    new = coord.Script("spend", READS_BOTH)
    key = (c.calls.key("budget", "team"),)
    assert c.run(coord.Call(old, key, (2, 60_000), bool)) is True
    assert c.run(coord.Call(new, key, (2, 60_000), list)) == [1, "1"]
    assert c.run(coord.Call(old, key, (2, 60_000), bool)) is False
