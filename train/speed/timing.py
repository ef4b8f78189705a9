"""Timing work, alone or several ways of it in turn."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

REPETITIONS = 3


@dataclass(frozen=True)
class Timed:
    """What one way of computing something took.

    Attributes:
        seconds: median of a call, by the clock.
        processor: median seconds of a call, of the processor.
        result: what the last call returned.
    """

    seconds: float
    processor: float
    result: Any


def seconds_of(work: Callable[[], Any]) -> float:
    """Seconds of one call, by the clock."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def median_seconds(work: Callable[[int], Any], repetitions: int = REPETITIONS) -> float:
    """Median seconds of a call by the clock; ``work`` gets the number of the repetition."""
    taken = []
    for repetition in range(repetitions):
        begun = time.perf_counter()
        work(repetition)
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def in_turn(ways: Mapping[str, Callable[[], Any]], repetitions: int = REPETITIONS) -> dict[str, Timed]:
    """Time several ways of computing the same thing, one call of each after the other.

    Other work on the machine then slows all ways alike. A first call of each is not counted: it fills the caches.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    processor: dict[str, list[float]] = {name: [] for name in ways}
    results = {}
    for repetition in range(repetitions + 1):
        for name, call in ways.items():
            begun = time.perf_counter()
            begun_on_processor = time.process_time()
            results[name] = call()
            if repetition:
                seconds[name].append(time.perf_counter() - begun)
                processor[name].append(time.process_time() - begun_on_processor)
    timed = {}
    for name in ways:
        timed[name] = Timed(statistics.median(seconds[name]), statistics.median(processor[name]), results[name])
    return timed
