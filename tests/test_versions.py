"""Versions: of many changes in a row only the newest matters."""

from __future__ import annotations

from typing import Any

import pytest
from backends import Backend

import coord

VERSION = "coord:version:{index}"


def test_a_worker_finds_out_that_its_version_is_stale(c: Any) -> None:
    """A worker asks whether a newer version came, and stops if so."""
    mine = c.bump("index")
    assert c.version("index") == mine
    assert c.is_stale("index", mine) is False
    newer = c.bump("index")
    assert c.is_stale("index", mine) is True
    assert c.is_stale("index", newer) is False


def test_there_is_no_version_at_first(c: Any) -> None:
    """A name that was never bumped has version 0, and nothing is stale."""
    assert c.version("index") == 0
    assert c.is_stale("index", 7) is False


def test_versions_of_different_names_do_not_meet(c: Any) -> None:
    """Each name has versions of its own."""
    c.bump("index")
    assert c.version("other") == 0


@pytest.mark.parametrize("how", ["bumped", "expired", "deleted"])
def test_versions_grow_strictly(backend: Backend, c: Any, how: str) -> None:
    """A new version is above every one before, also when the key has expired or was lost in between."""
    versions = []
    for _ in range(3):
        versions.append(c.bump("index"))
        if how == "expired":
            backend.later(3601)
        elif how == "deleted":
            backend.later(0.001)
            backend.lose(VERSION)
    assert versions == sorted(set(versions))


def test_racing_bumps_get_versions_of_their_own(backend: Backend, c: Any) -> None:
    """No two of many who bump at the same time get the same version, and the highest one stays."""
    versions = backend.race(lambda at: at.bump("index"))
    assert len(set(versions)) == len(versions)
    assert c.version("index") == max(versions)


def test_what_has_no_version_is_never_stale(c: Any) -> None:
    """An empty name, and a version of 0 or less, stand for messages from before there were versions."""
    c.bump("index")
    assert c.is_stale("", 5) is False
    assert c.is_stale("index", 0) is False
    assert c.is_stale("index", -1) is False


def test_bump_if_current_compares_and_bumps_in_one_step(c: Any) -> None:
    """Only who knows the newest version makes the next one; others learn which it is."""
    first = c.bump_if_current("index", 0)
    assert first.bumped is True
    second = c.bump_if_current("index", first.version)
    assert second == coord.Bump(bumped=True, version=c.version("index"))
    assert c.bump_if_current("index", first.version) == coord.Bump(bumped=False, version=second.version)


def test_of_many_who_know_one_version_one_bumps(backend: Backend, c: Any) -> None:
    """Of many racers with the same version one wins, and all others get the winner's."""
    known = c.bump("index")
    bumps = backend.race(lambda at: at.bump_if_current("index", known))
    assert sum(bump.bumped for bump in bumps) == 1
    assert {bump.version for bump in bumps} == {c.version("index")}


def test_a_version_is_kept_for_the_default_ttl_or_for_its_own(backend: Backend, c: Any) -> None:
    """Every bump starts the TTL anew."""
    c.bump("index")
    assert backend.left(VERSION) == pytest.approx(3600, abs=0.2)
    c.bump("index", ttl=60)
    assert backend.left(VERSION) == pytest.approx(60, abs=0.2)
    backend.later(61)
    assert c.version("index") == 0


@pytest.mark.permanent
def test_versions_of_a_coordinator_without_ttl_stay(backend: Backend) -> None:
    """``ttl=None`` when connecting: entities that have no TTL of their own never expire."""
    c = backend.connect(ttl=None)
    version = c.bump("index")
    backend.later(365 * 24 * 3600)
    assert c.version("index") == version
