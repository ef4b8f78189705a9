"""Which cores this process may use; fewer than the machine has under ``taskset`` or in a container."""

import os


def usable_cores():
    """Sorted numbers of the cores."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count()))
