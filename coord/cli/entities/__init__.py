"""What lives on a server: found by SCAN, read by coord's own operations, and told as a table, in full, or as JSON.

``keys`` reads names out of keys, ``kinds`` knows how each kind is asked and told, ``reading`` finds and asks, ``shown``
prints.
"""
