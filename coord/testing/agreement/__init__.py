"""Agreement: a script and its twin return the same and leave the same keys, after any history, at any time.

    def test_my_scripts_agree():
        for tally in agree(RESERVE, CANCEL).values():    # on every server program that is installed
            assert not tally.unreached()

A history is a row of calls with pauses between them. After each call every backend is compared with the twin: the
reply, the whole keyspace (keys, types, values, times to live), and the notices with their channels and order. The twin
runs by ``Keyspace.answer``, as operations on ``memory://`` do; of a script without a twin, its Lua runs there by lupa.

What a script's header has to say, so that its calls are drawn well
-------------------------------------------------------------------

* Types of ARGV choose the pools: ``count``, ``int`` (16 to 19 digits, 2^53, 2^63, and what brings a stored number just
  to such an edge), ``ms``, names, words such as ``done|failed``. Groups that repeat reach 1,000 and 1,001 words.
* An argument gets, half of the time, a value that an argument of the same word had before in this history, of any
  script of the family, or a word of an earlier reply or of a stored value. So give equal things equal words: the
  ``nonce`` that ``claim`` takes is the ``nonce`` that ``release`` takes.
* Words with a meaning: a ``nonce`` is an id that coord made; ``sequence``, ``remember_ms`` and ``repeated`` belong to
  operation ids.
* A part of a key in angles (``<nonce>``) has the value of the argument of that word. ``<op_id>`` belongs to one script.
* Scripts whose keys begin alike (``coord:claim:``) are a family and share a history; every tenth call is of any script.
* Pauses end on deadlines, and 1 ms and 1 µs before and after: of TTLs, of times among the arguments, of times in
  milliseconds or microseconds that stand in a value, and on the next multiple of a duration.
* A foreign writer disturbs keys: values of another type, and values of the right type with a part changed to what coord
  never writes.

Of several calls that are drawn for a step, the one is made whose outcome has been the rarest so far (it is tried on a
copy of the keyspace, and its lines of the twin count as well), so that calls succeed and branches are reached.

Outcomes
--------

A header declares the outcomes of its script, and ``Tally.unreached`` names those that were not seen often enough:

* REPLY ``1 when it was open, else 0``: the outcomes ``1`` and ``0``; in an array, ``granted=1`` and ``granted=0``;
  ``state  open, complete, or aborted: ...``: ``state=open`` and so on; ``{} when unknown``: ``{}``.
* ERRORS: each code, and no other error may be returned.
* ARGV: each word of a choice, such as ``verdict:failed``, in a call that changed something (or COST says ``no write``).
* An argument of type ``PUBLISH|SPUBLISH``: ``notice``.
* REPEAT ``safe`` or ``remembered``: ``repeated``. Such a call is made again at once, as it was or with ``repeated`` 1:
  the same reply, and no other key than one with ``<...>`` in its shape changes.

Also held against the header: only declared keys change, each has its declared type, one that is ``expiring`` has a TTL,
and a script whose COST says ``no write`` changes nothing.

Seeds
-----

Each script has histories of its own, drawn from ``seed``, the name of the script and a number: a change elsewhere does
not move them. A failure names the seed and shows the shortest history that was found, which is the same on every run.
"""

from coord.testing.agreement.compare import Answer, Disagreement, Failed, Stored, check
from coord.testing.agreement.everywhere import agree
from coord.testing.agreement.inprocess import Agreeing, LuaSide, TwinSide
from coord.testing.agreement.run import check_agreement
from coord.testing.agreement.server import AgedSide, Connects, ServerSide, serving
from coord.testing.agreement.tally import Tally

__all__ = [
    "AgedSide",
    "Agreeing",
    "Answer",
    "Connects",
    "Disagreement",
    "Failed",
    "LuaSide",
    "ServerSide",
    "Stored",
    "Tally",
    "TwinSide",
    "agree",
    "check",
    "check_agreement",
    "serving",
]
