"""Checks of a header's promises against the effects of a call."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any

from coord.testing.agreement.compare import Answer, Disagreement, Failed, Stored, is_list
from coord.testing.agreement.draws import Made
from coord.testing.agreement.outcomes import Outcomes

__all__ = ["hold_against_header", "hold_repeated"]


def hold_against_header(
    made: Made, outcomes: Outcomes, before: Stored, answer: Answer, disturbed: AbstractSet[str]
) -> None:
    """Raise ``Disagreement`` when a call did what its header does not allow.

    ``disturbed``: keys that a foreign writer changed, whose TTL is nobody's promise.
    """
    after = answer.stored
    changed = [key for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)]
    if changed and outcomes.is_read:
        raise _fault(made, f"changes {changed[0]}, and COST says that it writes nothing")
    if isinstance(answer.reply, Failed):
        if not outcomes.error(answer.reply):
            raise _fault(made, f"returns the error {answer.reply.text!r}, which ERRORS does not have")
        if kept := [key for key in changed if key not in made.answers]:
            raise _fault(made, f"returns the error {answer.reply.text!r} after it changed {kept[0]}")
    if foreign := [key for key in changed if key not in made.keys]:
        raise _fault(made, f"changes {foreign[0]}, which is not one of its keys")
    _hold_kinds(made, before, after, set(changed), disturbed)


def _hold_kinds(
    made: Made, before: Stored, after: Stored, changed: AbstractSet[str], disturbed: AbstractSet[str]
) -> None:
    for declared, key in zip(made.header.keys, made.keys, strict=True):
        if key in changed and key in after:
            kind, _, left = after[key]
            if kind != declared.kind and before.get(key, ("",))[0] != kind:
                raise _fault(made, f"stores a {kind} at {declared.word!r}, declared as {declared.kind}")
            if declared.expiring and left == -1 and key not in disturbed:
                raise _fault(made, f"leaves {declared.word!r}, declared expiring, without a TTL")


def hold_repeated(made: Made, first: Answer, second: Answer) -> None:
    """Raise ``Disagreement`` when a call and its repetition, at the same moment, differ."""
    if _as_text(first.reply) != _as_text(second.reply):
        raise _fault(made, f"returns {second.reply!r:.500} when it is repeated, and {first.reply!r:.500} at first")
    for key in sorted(first.stored.keys() | second.stored.keys()):
        if first.stored.get(key) != second.stored.get(key) and key not in made.answers:
            raise _fault(made, f"changes {key} when it is repeated")
    if second.notices and not first.notices:
        raise _fault(made, "notifies waiters when it is repeated")


def _as_text(reply: Any) -> Any:
    """Return a reply with its numbers in digits: a repetition may return what was kept as text."""
    if isinstance(reply, Failed):
        return reply.kind
    return [_as_text(each) for each in reply] if is_list(reply) else str(reply)


def _fault(made: Made, what: str) -> Disagreement:
    call = f"keys={list(made.keys)!r} argv={list(made.argv)!r:.2000}"
    return Disagreement(f"{made.script.file} {what}, after {made.script.name} {call}")
