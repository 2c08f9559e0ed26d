"""The asv benchmarks; `setup` compiles, and every benchmark checks its answer first."""
