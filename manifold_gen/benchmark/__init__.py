"""The benchmark: data × method × seed, every cell a pure function of its specification."""
