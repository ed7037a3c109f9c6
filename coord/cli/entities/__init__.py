"""The entities on a server: found by SCAN, read with coord's own operations, shown as a table, in full, or as JSON.

``keys`` parses keys, ``kinds`` describes how each kind is read and shown, ``reading`` finds and reads entities,
``shown`` and ``drawn`` print them.
"""
