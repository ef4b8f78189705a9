"""Work in parallel: the cores this process may use, and a map in threads that keeps its order."""

import os
import platform
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
CPU_INFO = Path("/proc/cpuinfo")
# Instructions for bfloat16, as Linux names them.
BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16")


def usable_cores() -> list[int]:
    """Sorted numbers of the cores this process may use; fewer than the machine has under ``taskset`` or in a container.

    Where the system cannot tell (macOS), every core of the machine counts.
    """
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def cpu_name() -> str:
    """The name of this machine's CPU, and which instructions for bfloat16 it has, for whoever compares speeds."""
    told = {}
    try:
        for line in CPU_INFO.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            told.setdefault(name.strip(), value.strip())
    except OSError:
        # Only Linux has this file.
        return platform.processor() or platform.machine()
    name = told.get("model name") or platform.machine()
    flags = [flag for flag in BFLOAT16_FLAGS if flag in told.get("flags", "").split()]
    return f"{name} ({', '.join(flags) or 'no bfloat16'})"


def map_ahead(function: Callable[[Item], Result], items: Iterable[Item], threads: int, ahead: int) -> Iterator[Result]:
    """Yield ``function(item)`` of each item, in order. The calling thread reads the items.

    Unlike ``Executor.map``, this never runs far ahead of whoever takes the results, so memory stays bounded.

    Args:
        threads: how many threads run the function at once.
        ahead: the most results that are begun before the oldest of them is taken.
    """
    with ThreadPoolExecutor(threads) as pool:
        begun: deque[Future[Result]] = deque()
        try:
            for item in items:
                begun.append(pool.submit(function, item))
                if len(begun) >= ahead:
                    yield begun.popleft().result()
            while begun:
                yield begun.popleft().result()
        finally:
            # After an error, or when nobody takes more results, the pool would still do all that is queued.
            for future in begun:
                future.cancel()
