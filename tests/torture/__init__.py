"""Every family of operations on real servers, from real processes, under real faults; counted afterwards.

    python tests/torture --operations 300000        # all rows on all engines, progress on stderr
    python tests/torture --only "reply eaten,FLUSHALL" --engine redis-8.2
    python tests/torture --short                    # each row for a moment, as in CI

``rows.py`` lists the faults, ``families.py`` what is done under them; each family's file says what must hold. Workers
write what they ask and what they are answered into journals; when the fault is over, ``row.py`` compares those with
each other and with the server.
"""
