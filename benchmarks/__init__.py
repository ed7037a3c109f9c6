"""coord beside its peers: ``python -m benchmarks``."""
