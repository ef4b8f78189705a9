"""What the command line and the gallery both know. Nothing is imported here, so that `unipt --help` answers at once."""

KINDS = ("exact", "hnsw", "ivf")
"""The kinds of index."""
EXACT_UP_TO = 500_000
"""Rows up to which a gallery gets an exact index. More rows get an ivf index, unless another kind is asked for."""
EMPTY_QUERY = 'the query is empty; describe a person, as in "a woman in a red coat with a black bag"'
