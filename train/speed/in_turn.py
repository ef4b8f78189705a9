"""Timing several ways of computing the same thing in turn, so that a machine's moods touch all of them alike."""

import statistics
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Timed:
    """Of one way: median ``seconds`` of a call, by the clock and of the ``processor``, and what the last call gave."""

    seconds: float
    processor: float
    result: float


def in_turn(ways, repetitions):
    """{name: :class:`Timed`} of ``ways``, {name: function without arguments}; a first call of each warms up."""
    taken, processor, results = {name: [] for name in ways}, {name: [] for name in ways}, {}
    for repetition in range(repetitions + 1):
        for name, call in ways.items():
            begun, on_processor = time.perf_counter(), time.process_time()
            results[name] = call()
            if repetition:
                taken[name].append(time.perf_counter() - begun)
                processor[name].append(time.process_time() - on_processor)
    return {
        name: Timed(statistics.median(taken[name]), statistics.median(processor[name]), results[name]) for name in ways
    }
