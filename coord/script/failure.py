"""Turn the error reply of a script into an exception for its caller."""

from __future__ import annotations

import re

from coord.errors import CoordError, Corrupt, CountOverflow, ScriptError, WrongType
from coord.script.script import Script

__all__ = ["script_failed"]

_LINE = re.compile(r"user_script:(\d+): ?([^\n]*?)(?:,? script: [0-9a-f]{40}.*| \[.*)?$")
_PLACE = re.compile(r"(.*?),? script: (?:[0-9a-f]{40}, )?on @user_script:(\d+)\.")
"""The text that servers since 7.0 append to the error reply of a command."""


def script_failed(script: Script, text: str) -> CoordError:
    """Return the exception for the error reply of a script: its kind, its sentence, and its line in the file."""
    code, _, sentence = text.partition(" ")
    if code in script.errors:
        return script.errors[code](sentence or text)
    if "WRONGTYPE" in text:
        return WrongType(f"{script.name}: the key holds another kind of value; nothing was changed")
    if "would overflow" in text or text.startswith("COORD_OVERFLOW"):
        return CountOverflow(f"{script.name}: {_sentence(text)}")
    if text.startswith("COORD_CORRUPT") or "value is not an integer" in text:
        return Corrupt(f"{script.name}: the key holds a value that coord did not write; nothing was changed")
    line = _LINE.search(text)
    place = None if line else _PLACE.match(text)
    if place and (code := script.line(int(place[2])).strip()):
        return ScriptError(f"{script.file}:{place[2]}: {_sentence(place[1])}\n    {code}")
    if line and (code := script.line(int(line[1])).strip()):
        return ScriptError(f"{script.file}:{line[1]}: {line[2] or text}\n    {code}")
    return ScriptError(f"{script.file}: {_sentence(text)}")


def _sentence(text: str) -> str:
    """Return an error reply without its code."""
    code, _, rest = text.partition(" ")
    return rest if rest and (code == "ERR" or code.startswith("COORD_")) else text
