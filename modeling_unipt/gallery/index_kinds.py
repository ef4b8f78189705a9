"""The kinds of search index. `unipt index --help` reads them, so this module imports nothing."""

KINDS = ("exact", "hnsw", "ivf")
EXACT_UP_TO = 500_000
"""Rows up to which a gallery gets an exact index. More rows get an ivf index, unless another kind is asked for."""
