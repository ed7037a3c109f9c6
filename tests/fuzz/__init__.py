"""Fuzz: inputs of every kind that coord takes, drawn from what is right, broken in places.

python tests/fuzz --inputs 1000000                  # every kind, with progress
python tests/fuzz --only urls --inputs 5000 --seed 7
python tests/fuzz --only urls --again 'fixed 4711'   # one input, by the number that a finding printed

An input may raise a CoordError, ValueError or TypeError, and nothing else. It may not take seconds, and no message may
contain a password.
"""
