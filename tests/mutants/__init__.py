"""Mutants: coord with one small fault each, planted by rule, and the tests that have to find it.

python tests/mutants --sites 800                                # all groups, with progress, the score and the survivors
python tests/mutants --only scripts --only twins --sites 100 --seed 7
python tests/mutants --again 'twins claims.py:190:12 constant 0'    # one mutant, by the name that a run printed
"""
