"""The benchmark against other runtimes: what scripts/bench and bench/compare run."""
