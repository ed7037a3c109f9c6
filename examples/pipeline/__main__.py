"""``python -m examples.pipeline``: run the demo."""

from __future__ import annotations

import argparse
import contextlib
import secrets
import sys
from collections.abc import Callable, Generator, Sequence
from urllib.parse import urlsplit

import coord
from coord.testing.servers import Server, engines
from examples.pipeline import screen
from examples.pipeline.crew import Run, run
from examples.pipeline.load import KEEP, Load

_PREFERRED = ("redis-8.2", "valkey-9.1", "redis-6.2", "path")


def main(argv: Sequence[str] | None = None) -> int:
    """Run both pipelines and compare them. Exit code: 1 when coord lost or doubled something or counted wrong."""
    args = _parser().parse_args(argv)
    load = Load(documents=args.documents, updates=args.updates, workers=args.workers, seed=args.seed)
    try:
        with _place(args.url) as (url, place):
            return _compare(load, url, place, naive_too=not args.no_naive)
    except coord.CoordError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return 130


def _compare(load: Load, url: str, place: str, *, naive_too: bool) -> int:
    prefix = f"coord-demo:{secrets.token_hex(4)}:"
    with coord.connect(url, prefix=prefix) as c:
        in_processes = c.is_distributed
    print(screen.introduction(load, place, in_processes=in_processes), flush=True)
    parts = "once, bump, is_stale, claim, statistics, requests, a barrier, a semaphore, a rate limit"
    titles = {f"With coord: {parts}": True}
    if naive_too:
        titles[f"Naive: get, check, set on a dict and a lock in each {'process' if in_processes else 'thread'}"] = False
    runs = []
    for title, with_coord in titles.items():
        how = Run(load, url, f"{prefix}{with_coord}:", with_coord, in_processes)
        runs.append(run(how, screen.Live(title, load).show))
    screen.compare(runs)
    print(screen.conclusion(runs))
    if in_processes:
        print(f"The keys of the demo, {prefix}*, expire in {KEEP:.0f} seconds.")
    return 0 if runs[0].holds else 1


@contextlib.contextmanager
def _place(url: str) -> Generator[tuple[str, str]]:
    """Yield a URL and what to call it; a private server ends with the demo."""
    if url != "auto":
        parts = urlsplit(url)  # what is shown has no user and no password
        yield url, f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        return
    found = engines()
    name = next((name for name in _PREFERRED if name in found), None)
    if name is None:
        raise coord.ConfigError("no server to start: pip install 'coord[servers]', or put redis-server on PATH")
    with Server(found[name]) as server:
        yield server.url, f"a private server, {name}"


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}")
        return value

    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make demo",
        description="Run a pipeline whose workers are killed, first with coord and then with naive get-check-set "
        "code under the same load, and count what was lost and what was done twice.",
        epilog="Exit code: 0 when coord lost and doubled nothing and counted right, 1 otherwise, 2 when the demo "
        'could not run. With make, options go into ARGS: make demo ARGS="--url auto".',
    )
    parser.add_argument(
        "--url",
        default="memory://",
        help="memory:// (default; workers are threads), redis://host:port/db and the like (workers are processes), "
        "or auto (a private server, from an installed wheel or from PATH)",
    )
    for name, least, default in (("workers", 2, 6), ("documents", 1, 200), ("updates", 1, 5)):
        text = f"number of {name if name != 'updates' else 'updates of each document'} (default: {default})"
        parser.add_argument(f"--{name}", type=_at_least(least), default=default, metavar="N", help=text)
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="seed of the load and faults (default: 1)")
    parser.add_argument("--no-naive", action="store_true", help="leave out the run without coord")
    return parser


if __name__ == "__main__":
    sys.exit(main())
