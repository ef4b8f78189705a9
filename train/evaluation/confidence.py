"""How far a measured number may be from the one on other people: bootstrap confidence intervals over identities."""

from collections.abc import Mapping

import numpy as np

LEVEL = 0.95


def identity_intervals(
    values: Mapping[str, np.ndarray], person_ids: np.ndarray, resamples: int, seed: int
) -> dict[str, list[float]] | None:
    """Percentile intervals at 95 % of the means of per-query measures, over the identities of the queries.

    The captions of one person are not independent. So people are drawn with replacement, each with all of his or her
    queries; the gallery stays as it is. The intervals do not cover what other photographs or another training seed
    would change.

    Args:
        values: name -> (Q,) array.
        person_ids: (Q,) identity of each query.
        resamples: number of draws.
        seed: seed of the draws.

    Returns:
        name -> [low, high]; None if there are fewer than two identities or ``resamples`` is 0.
    """
    people, person = np.unique(person_ids, return_inverse=True)
    if len(people) < 2 or not resamples:
        return None
    # (resamples, people): how often each person is drawn. Sums over queries then become one matrix product each.
    chances = np.full(len(people), 1 / len(people))
    drawn = np.random.default_rng(seed).multinomial(len(people), chances, resamples)
    drawn_queries = drawn @ np.bincount(person)
    tail = (1 - LEVEL) / 2
    intervals = {}
    for name, value in values.items():
        means = drawn @ np.bincount(person, weights=value) / drawn_queries
        intervals[name] = [float(bound) for bound in np.quantile(means, (tail, 1 - tail))]
    return intervals
