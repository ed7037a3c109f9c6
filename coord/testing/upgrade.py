"""Do two versions of a script understand each other? In a rolling upgrade both run on the same keys.

    assert check_upgrade([OLD_TAKE, OLD_REFILL], [TAKE, REFILL]) == []

A script is called by the hash of its text, so both versions are on the server side by side, each with its own
arguments and reply. What they share is keys: check_upgrade runs histories in which each call is made by one version or
the other, and compares the headers.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from coord.script import Script
from coord.testing.lint import Finding
from coord.testing.trial import History, trial

__all__ = ["check_upgrade"]


def check_upgrade(
    old: Iterable[Script], new: Iterable[Script], *, histories: int = 200, steps: int = 15
) -> list[Finding]:
    """Return what is wrong when both versions run on the same keys; see the rules in docs/guide/scripts.md.

    Reported are: a key of the same shape that is declared as another kind, or is not ``expiring`` any more; all that
    ``trial`` finds, in histories of both versions; and an error reply that neither version gives in histories of its
    own, such as a value of one that the other cannot read. It needs ``coord[lua]``. Draws are the same on every run.
    """
    old, new = _with_header(old), _with_header(new)
    both = [*old, *new]
    alone = _errors(old, histories, steps) | _errors(new, histories, steps)
    mixed = _errors(both, histories, steps) - alone
    return sorted({*_declared(old, new), *_unread(mixed), *trial(both, histories=histories, steps=steps)})


def _with_header(scripts: Iterable[Script]) -> list[Script]:
    return [script for script in scripts if script.header]


def _declared(old: Sequence[Script], new: Sequence[Script]) -> Iterable[Finding]:
    """Compare the keys of the headers."""
    before = {key.shape: key for script in old if script.header for key in script.header.keys}
    for script in new:
        for key in script.header.keys if script.header else ():
            known = before.get(key.shape)
            if known is not None and known.kind != key.kind:
                yield _at(script, key.line, f"{key.shape} is a {key.kind}, and was a {known.kind}: use another key")
            elif known is not None and known.expiring and not key.expiring:
                yield _at(script, key.line, f"{key.shape} was expiring: the old version relies on its TTL")


def _errors(scripts: Sequence[Script], histories: int, steps: int) -> set[tuple[Script, str]]:
    found: set[tuple[Script, str]] = set()
    for seed in range(histories if scripts else 0):
        history = History(random.Random(seed))
        for _ in range(steps):
            history.step(history.random.choice(scripts))
        found |= history.errors
    return found


def _unread(mixed: Iterable[tuple[Script, str]]) -> Iterable[Finding]:
    for script, code in mixed:
        yield _at(script, 1, f"answers {code} on keys that both versions write: one cannot read the other's values")


def _at(script: Script, line: int, what: str) -> Finding:
    return Finding(script.file, line, 1, what, code=script.text.split("\n")[line - 1])
