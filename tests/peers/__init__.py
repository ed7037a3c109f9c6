"""The tests of other libraries, run over coord by the drivers in examples/."""
