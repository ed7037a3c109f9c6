"""``coord script check``: what is wrong with scripts, each fault with its file, line and a caret."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from coord.cli.script.find import is_folder, lua_files, python_files, read_script, read_text, scripts_in, with_twin
from coord.errors import ConfigError

__all__ = ["declare"]


def declare(commands: Any) -> None:
    """Add this command to the parser's commands."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "check",
        help="find faults in the headers, the Lua and the twins of scripts",
        description="Prints each fault as FILE:LINE:COLUMN: what, and the line with a caret. First header and Lua are "
        "read: keys that are not declared, clocks of callers, refusals after a write, missing TTLs, lost digits, "
        "unbounded unpack, wrong replies, globals. Then scripts run in memory with drawn arguments, and each "
        "call is compared with the header (REPEAT, REPLY, kinds, TTLs) and the twin. Twins are found in Python files "
        "that name the script's file and coord, next to it or in the package around its folder; they are imported.",
        epilog="Exit code: 0 without an error (warnings are about style), 1 with one, 2 when a file could not be read. "
        "Needs 'coord[lua]', and --agree needs 'coord[testing]'.",
    )
    parser.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="a script, a folder, or a Python file with scripts",
    )
    parser.add_argument("--agree", action="store_true", help="compare memory (twin or Lua) with every server program")
    parser.add_argument("--read-only", action="store_true", help="only read: import and run nothing")
    parser.set_defaults(run=_check)


def _check(args: argparse.Namespace) -> int:
    for path in args.paths:
        if is_folder(path) and not lua_files([path]):
            raise ConfigError(f"there is no .lua file in {path}")
    try:
        return _checked(args)
    except ModuleNotFoundError as error:
        raise ConfigError(f"checking scripts needs the package {error.name}: pip install 'coord[lua]'") from None


def _checked(args: argparse.Namespace) -> int:
    from coord.cli.script.findings import (  # noqa: PLC0415  # takes the extra 'lua'
        of_error,
        of_python,
        of_runs,
        of_script,
        of_text,
    )

    files = lua_files(args.paths)
    modules = [path for path in args.paths if path.suffix == ".py" and not args.read_only]
    inline = [script for module in modules for script in scripts_in(module)]
    found = [finding for file in files for finding in of_text(file)]
    found += [finding for script in inline for finding in of_script(script)]
    found += [finding for file in python_files(args.paths) for finding in of_python(file)]
    wrong = {finding.file for finding in found if finding.kind == "error"}
    # Scripts that are wrong as they read are corrected first: their runs would say the same in more words.
    sound = [] if args.read_only else [file for file in files if str(file) not in wrong]
    runnable = [script for script in inline if script.file not in wrong]
    for file in sound:
        try:
            runnable.append(with_twin(file) or read_script(file))
        except ConfigError as error:
            found.append(of_error(file, read_text(file), str(error)))
    found += of_runs(runnable, agree=args.agree)
    for finding in found:
        print(finding.shown())
    errors = sum(finding.kind == "error" for finding in found)
    count = len(files) + len(inline)
    unrun = count - len(runnable)
    print(
        f"{_many(count, 'script')}, {_many(errors, 'fault') if errors else 'no fault'}"
        f"{f' ({unrun} only read, not run)' if unrun else ''}"
    )
    return 1 if errors else 0


def _many(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"
