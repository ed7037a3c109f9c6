"""``coord demo``: a small pipeline under hard conditions, with coord and then with naive code.

``load`` says what happens, ``world`` is the queue and the store, ``worker`` is the pipeline with coord and ``naive``
the same without, ``crew`` runs it in threads or processes, ``truth`` compares, ``table`` and ``live`` show.
"""

from __future__ import annotations

import argparse
import contextlib
import secrets
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from coord.cli.arguments import at_least
from coord.cli.demo.crew import KEEP
from coord.cli.demo.load import Load
from coord.cli.demo.run import Run, run
from coord.cli.demo.table import Screen, screen
from coord.cli.demo.words import WITH_COORD, conclusion, introduction, naive_title
from coord.config import connect
from coord.errors import ConfigError
from coord.testing.servers import Server, engines

if TYPE_CHECKING:
    from collections.abc import Generator

    from coord.cli.demo.truth import Proof

__all__ = ["declare"]

_FAVOURITES = ("redis-8.2", "valkey-9.1", "redis-6.2", "path")


def declare(commands: Any) -> None:
    """Add this command to the parser's commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "demo",
        help="run a small pipeline whose workers are killed, with coord and without",
        description="Producers enqueue updates of documents; workers receive them out of order and more than once, "
        "and some are killed half-way. The demo counts what was lost and what was done twice: first with coord, "
        "then with naive get-check-set code under the same load.",
        epilog="Exit code: 0 when coord lost and doubled nothing and counted right, 1 when not, "
        "2 when the demo could not run.",
    )
    parser.add_argument(
        "--url",
        default="memory://",
        help="where the state is kept: memory:// (the default; workers are threads), redis://host:port/db and the "
        "like (workers are processes), or auto (a private server, started from an installed wheel or from PATH)",
    )
    parser.add_argument("--workers", type=at_least(2), default=6, metavar="N", help="how many workers (default: 6)")
    parser.add_argument(
        "--documents", type=at_least(1), default=200, metavar="N", help="how many documents (default: 200)"
    )
    parser.add_argument(
        "--updates", type=at_least(1), default=5, metavar="N", help="how many updates of each document (default: 5)"
    )
    parser.add_argument(
        "--seed", type=int, default=1, metavar="N", help="the seed of load, delivery and deaths (default: 1)"
    )
    parser.add_argument("--no-naive", action="store_true", help="leave out the run without coord")
    parser.set_defaults(run=_demo)


def _demo(args: argparse.Namespace) -> int:
    load = Load(documents=args.documents, updates=args.updates, workers=args.workers, seed=args.seed)
    with _place(args.url) as (url, server):
        return _compare(load, url, server, naive_too=not args.no_naive)


@contextlib.contextmanager
def _place(url: str) -> Generator[tuple[str, str]]:
    """Yield where the state is kept and what that is called; a private server ends with the demo."""
    if url != "auto":
        yield url, _bare(url)
        return
    found = engines()
    name = next((name for name in _FAVOURITES if name in found), None)
    if name is None:
        raise ConfigError("there is no server to start: pip install 'coord[servers]', or put redis-server on PATH")
    try:
        server = Server(found[name])
    except RuntimeError as error:
        raise ConfigError(str(error)) from None
    with server:
        yield server.url, f"a private server, {name}"


def _bare(url: str) -> str:
    """Return a URL without whatever may hold a password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _compare(load: Load, url: str, server: str, *, naive_too: bool) -> int:
    prefix = f"coord-demo:{secrets.token_hex(4)}:"
    # A server that cannot be reached says so here, once, and not in every worker.
    with connect(url, prefix=prefix) as c:
        processes = c.is_distributed
    watched = screen()
    print(introduction(load, server, processes=processes), end="\n\n", flush=True)
    proofs = [_run(watched, WITH_COORD, load, Run(url, f"{prefix}coord:", processes, with_coord=True))]
    if naive_too:
        title = naive_title(url, processes=processes)
        proofs.append(_run(watched, title, load, Run(url, f"{prefix}naive:", processes, with_coord=False)))
    watched.compare(proofs)
    print(*conclusion(proofs), sep="\n")
    if processes:
        print(f"What the demo wrote, under {prefix}*, is gone in {KEEP:.0f} seconds.")
    return 0 if proofs[0].holds else 1


def _run(watched: Screen, title: str, load: Load, how: Run) -> Proof:
    with watched.watch(title, load) as show:
        return run(load, how, show)
