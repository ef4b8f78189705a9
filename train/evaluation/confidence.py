"""How far a measured number may be from the one on other people: bootstrap confidence intervals over identities."""

import numpy as np

LEVEL = 0.95


def identity_intervals(values, person_ids, resamples, seed):
    """Percentile intervals at 95 % of the means of per-query measures, over the identities of the queries.

    The captions of one person are not independent, so people are drawn with replacement, each with all of his or her
    queries; the gallery stays as it is. What other photographs or other training seeds would change is not in it.

    Args:
        values: name -> (Q,) array.
        person_ids: (Q,) identity of each query.
        resamples: number of draws.
        seed: of the draws.
    Returns:
        name -> [low, high]; None when there are fewer than two identities or ``resamples`` is 0.
    """
    people, person = np.unique(person_ids, return_inverse=True)
    if len(people) < 2 or not resamples:
        return None
    queries = np.bincount(person)
    drawn = np.random.default_rng(seed).multinomial(len(people), np.full(len(people), 1 / len(people)), resamples)
    drawn_queries = drawn @ queries
    tail = (1 - LEVEL) / 2
    intervals = {}
    for name, value in values.items():
        means = drawn @ np.bincount(person, weights=value) / drawn_queries
        intervals[name] = [float(bound) for bound in np.quantile(means, (tail, 1 - tail))]
    return intervals
