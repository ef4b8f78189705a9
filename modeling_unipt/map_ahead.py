"""A map in threads that keeps the order and, unlike ``Executor.map``, never runs far ahead of whoever takes results."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor


def map_ahead(function, items, threads, ahead):
    """Yield ``function(item)`` of each item, in order; an iterable of items is read in the calling thread.

    Args:
        threads: how many run the function at once.
        ahead: at most so many results are begun before the oldest of them is taken.
    """
    with ThreadPoolExecutor(threads) as pool:
        begun = deque()
        try:
            for item in items:
                begun.append(pool.submit(function, item))
                if len(begun) >= ahead:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            for future in begun:
                future.cancel()
