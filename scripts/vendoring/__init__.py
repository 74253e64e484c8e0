"""How each embedded population is made from its pinned wheel: one module each, with its `SOURCE` and `arrays`."""
