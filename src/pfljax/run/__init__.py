"""One comparison from configuration to run folder: what `pfljax run` does."""
