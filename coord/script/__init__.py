"""Scripts: the Lua that runs on a server, its header, its twin in Python, and one call of it.

A script's file begins with a header, and its words are the script's contract:

    -- renew: hold a claim longer, if the caller still holds it.
    --
    -- KEYS   claim    string, expiring: owner|nonce|fence     coord:claim:{name}
    -- ARGV   nonce    name    the attempt that won it
    --        ttl_ms   ms      how long to hold it from now
    -- REPLY  {renewed, fence}
    --        renewed  1 when the caller still held it, else 0
    --        fence    the fence of the claim, "0" when not renewed
    -- ERRORS WRONGTYPE
    -- COST   O(1), one write when renewed
    -- REPEAT safe: a second run renews once more

The same words, in the same order, name the ``local`` lines of the Lua and the parameters of the twin. ``Script``
compares the three when it is made. ``coord script grammar`` prints the whole grammar.
"""

from coord.script.call import Call
from coord.script.failure import script_failed
from coord.script.header import ARGUMENT_TYPES, KINDS, Argument, Header, Key, parse_header
from coord.script.includes import inline_includes
from coord.script.packaged import Scripts, all_scripts, load
from coord.script.resources import grammar, library
from coord.script.script import Script, Twin

__all__ = [
    "ARGUMENT_TYPES",
    "KINDS",
    "Argument",
    "Call",
    "Header",
    "Key",
    "Script",
    "Scripts",
    "Twin",
    "all_scripts",
    "grammar",
    "inline_includes",
    "library",
    "load",
    "parse_header",
    "script_failed",
]
