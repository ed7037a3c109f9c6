"""The comparison is awake: a fault in one place of a script or of its twin is found within some hundred histories."""

from __future__ import annotations

import pytest
from agreeing import WORDS
from mutated import Mutant, mutated

from coord.script import all_scripts
from coord.testing.agreement import Disagreement, LuaSide, check_agreement
from coord.testing.clock import Clock

pytestmark = pytest.mark.proof

MUTANTS = [
    Mutant("once", "lua", ', "PX", ttl_ms', ""),
    Mutant("once", "lua", "attempt == nonce or", "false or"),
    Mutant("claim", "lua", "holder ~= owner", "attempt ~= nonce"),
    Mutant("claim", "lua", "left_ms < tonumber(ttl_ms)", "true"),
    Mutant("claim", "lua", 'redis.call("EXISTS", tombstone, answered) > 0', "false"),
    Mutant("claim", "lua", "fence = later(fence)", "fence = later()"),
    Mutant("claim", "lua", "before < now then", "before <= now then"),
    Mutant("renew", "lua", 'redis.call("PEXPIRE", claim, ttl_ms)', ""),
    Mutant("renew", "lua", "attempt ~= nonce", "attempt == ''"),
    Mutant("release", "lua", '"||" .. fence', '"||0"'),
    Mutant("release", "lua", 'redis.call("SET", tombstone, by, "PX", tombstone_ms)', ""),
    Mutant("release", "lua", 'redis.call("SET", tombstone, "", "PX", tombstone_ms)', ""),
    Mutant("bump", "lua", 'newest, "PX", ttl_ms', "newest"),
    Mutant("bump", "lua", "9007199254740992", "9.1e15"),
    Mutant("bump", "lua", 'redis.call("SET", op, kept, "PX", remember_ms)', ""),
    Mutant("bump", "lua", "string.find(kept, call, 1, true) == 1", "false"),
    Mutant("bump_if_current", "lua", "newest ~= known", "tonumber(newest) > tonumber(known)"),
    Mutant("merge", "lua", "and 854775808 or", "and 854775807 or"),
    Mutant("merge", "lua", "unpack(counts, i, math.min(i + 999, #counts))", "'', '1'"),
    Mutant("merge", "lua", "refresh(stats, ttl_ms)", ""),
    Mutant("consume", "lua", 'redis.call("PEXPIRE", batch, remember_ms)', ""),
    Mutant("kv_incr", "lua", "math.abs(total) < 9007199254740992", "true"),
    Mutant("kv_incr", "lua", 'if ttl_ms == "0" then redis.call("PERSIST", key)', 'if ttl_ms == "0" then'),
    Mutant("kv_incr", "lua", 'string.find(kept, sequence .. "|", 1, true) == 1', "true"),
    Mutant("kv_srem", "lua", "remember(op, sequence, remember_ms, changed)", ""),
    Mutant("barrier_arrive", "lua", "first == nonce", "false"),
    Mutant("barrier_arrive", "lua", "now_ms() <= tonumber", "now_ms() < tonumber"),
    Mutant("barrier_arrive", "lua", "refresh(barrier, has[6])", ""),
    Mutant("barrier_arrive", "lua", "remaining == 0 and 1 or 0", "0"),
    Mutant("barrier_open", "lua", "now <= tonumber", "now < tonumber"),
    Mutant("barrier_status", "lua", "found, has = last, before", "found, has = barrier, has"),
    Mutant("execution_begin", "lua", "holder ~= owner", "current ~= attempt"),
    Mutant("execution_begin", "lua", "has[5] ~= fingerprint", "false"),
    Mutant("execution_begin", "lua", "fence = later(fence)", "fence = later()"),
    Mutant("execution_begin", "lua", "EXISTS", "TYPE"),
    Mutant("execution_complete", "lua", "has[2] == attempt", "true"),
    Mutant("execution_complete", "lua", 'redis.call("PEXPIRE", execution, keep_ms)', ""),
    Mutant("execution_complete", "lua", 'redis.call("SET", tombstone, "done", "PX", tombstone_ms)', ""),
    Mutant("execution_abandon", "lua", 'has[1] == "running" and', ""),
    Mutant("execution_abandon", "twin", 'space.set(tombstone, "none", px=tombstone_ms)', "pass"),
    Mutant("execution_renew", "lua", "has[2] ~= attempt", "false"),
    Mutant("execution_forget", "lua", 'remember(op, sequence, remember_ms, "1")', ""),
    Mutant("execution_status", "lua", 'redis.call("PTTL", execution)', "0"),
    Mutant("request_done", "lua", 'has[3] == "done|" .. nonce', "false"),
    Mutant("request_done", "lua", "has[2] - 1", "has[2]"),
    Mutant("semaphore_claim", "lua", "used + weight > tonumber(limit)", "used > tonumber(limit)"),
    Mutant("semaphore_claim", "lua", 'string.format("(%.0f", now)', 'string.format("%.0f", now)'),
    Mutant("semaphore_claim", "lua", 'redis.call("EXISTS", tombstone, answered) > 0', "false"),
    Mutant("semaphore_release", "lua", "weight - used", "-used"),
    Mutant("semaphore_release", "lua", "attempt == nonce", "true"),
    Mutant("semaphore_release", "lua", "now + tombstone_ms", "0"),
    Mutant("group_join", "lua", "lives or taker + 0 > rejoins + 0", "lives"),
    Mutant("group_join", "lua", "if deadline < now then", "if deadline <= now then"),
    Mutant("group_beat", "lua", "nonce == ARGV[2 * at + 1] and 1 or 2", "1"),
    Mutant("group_members", "lua", "if deadline >= now then", "if deadline > now then"),
    Mutant("claim", "twin", "later(space, fence)", "later(space, None)"),
    Mutant("claim", "twin", "px=ttl_ms", "px=ttl_ms + 1"),
    Mutant("claim", "twin", "holder != owner", "holder == owner"),
    Mutant("release", "twin", 'space.set(tombstone, "", px=tombstone_ms)', "pass"),
    Mutant("holder", "twin", '["", fence, 0]', '["", "0", 0]'),
    Mutant("bump", "twin", "px=ttl_ms", "px=0"),
    Mutant("consume", "twin", "space.rename(stats, batch)", "space.delete(stats)"),
    Mutant("merge", "twin", "<= total <=", "< total <"),
    Mutant("kv_incr", "twin", "refresh(space, number, ttl_ms)", "pass"),
    Mutant("kv_expire", "twin", "return 1", "return 0"),
    Mutant("kv_lrange", "twin", "start, stop", "start, stop - 1"),
]


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.script}-{mutant.where}: {mutant.old}")
def test_a_fault_is_found(mutant: Mutant) -> None:
    broken = mutated(mutant)
    scripts = [broken if each.name == broken.name else each for each in all_scripts()]
    clock = Clock()
    with pytest.raises(Disagreement):
        check_agreement(
            scripts, [LuaSide(clock)], clock, histories=1000, words=WORDS, only=[mutant.script], shorten=False
        )
