"""What the demo says before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coord.cli.demo.load import LEASE, PATIENCE, PRODUCERS, STALL, Load
from coord.cli.demo.naive import is_shared

if TYPE_CHECKING:
    from coord.cli.demo.truth import Proof

__all__ = ["WITH_COORD", "conclusion", "introduction", "naive_title"]

WITH_COORD = "With coord: once, bump, is_stale, claim with its fence, merge, consume, a request a document, a barrier"


def introduction(load: Load, server: str, *, processes: bool) -> str:
    """Say what is about to happen."""
    how = (
        "processes, killed by SIGKILL"
        if processes
        else "threads; their death is simulated: they stop where they stand and release nothing"
    )
    return f"""\
{PRODUCERS} producers enqueue {load.total:,} updates, {load.updates:,} for each of {load.documents:,} documents.
{load.workers} workers bring them into a store; of each document, the newest must be in it at the end.
With coord the producers wait until all updates are settled, and one of them is called back, once.
The queue delivers out of order, some twice, and again after {PATIENCE:g} s what was not acknowledged.
{load.killed} workers are killed half-way; one stalls {STALL:g} s, while its claim lasts {LEASE:g} s, and goes on.
The workers are {how}.
The state is kept on {server}."""


def naive_title(url: str, *, processes: bool) -> str:
    """Say what the naive run goes by."""
    if is_shared(url):
        return "Naive: GET, check, SET on the same server"
    each = "process has" if processes else "thread plays an instance of its own, with"
    return f"Naive: get, check, set; each {each} its own dict and lock"


def conclusion(proofs: list[Proof]) -> list[str]:
    """Say what has been shown, a sentence a line."""
    ours, *naive = proofs
    said = [_verdict(ours)]
    if naive:
        said.append(_damage(naive[0]))
    return said


def _verdict(proof: Proof) -> str:
    if proof.holds:
        return "With coord nothing was lost, nothing was doubled, and the workers' counts are the truth."
    return (
        f"With coord {proof.lost:,} documents lost their newest update, "
        f"{proof.doubled:,} times an update was worked again, and the counts are off by {proof.miscounted:,}: "
        "this is a bug in coord."
    )


def _damage(proof: Proof) -> str:
    if proof.holds:
        return "The naive code was lucky this time: try another --seed, or more --workers."
    return (
        f"Naive: {proof.lost:,} documents lost their newest update, {proof.doubled:,} times an update was worked "
        f"again,\nand the counts are off by {proof.miscounted:,} in all."
    )
