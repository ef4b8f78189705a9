"""How a training on the CPU shares its cores with other work: how its threads wait, and where its loader stands.

OpenMP's waiting threads spin. That is the fastest way while every core is free. Where another process keeps a core
busy, it takes turns with them, and a step of two threads takes three to four times as long. No number of spins is good
in both cases (docs/speed.md), so a command looks whether cores are busy before it starts. The process that loads data
is known to come, so it gives way to threads that spin. It does not where they sleep: beside other work it would get too
little of a core to keep up.
"""

import os
import sys

import psutil

from modeling_unipt.common.parallel import usable_cores

# By any of these a user says how threads wait: to every OpenMP, to GCC's, to LLVM's and Intel's.
WAIT_POLICY = "OMP_WAIT_POLICY"
SET_BY_THE_USER = (WAIT_POLICY, "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
SECONDS_LOOKED_AT = 0.1
# Of the usable cores. On two cores one busy process is half.
BUSY_SHARE = 0.25
# A loader then has about a tenth of a core beside a thread that spins, and all of it while the training waits for data.
NICENESS_OF_A_LOADER = 10


def sleep_where_cores_are_busy() -> None:
    """Have OpenMP's waiting threads sleep instead of spin if other processes keep cores busy now.

    OpenMP is told by the environment, which it reads when torch is loaded: a command calls this before. Results do not
    depend on it. What the user has set stays as it is.
    """
    if "torch" in sys.modules or any(name in os.environ for name in SET_BY_THE_USER):
        return
    # Ranks start together and would take each other for other work.
    if int(os.environ.get("LOCAL_WORLD_SIZE", 1)) > 1:
        return
    if busy_cores() >= BUSY_SHARE * len(usable_cores()):
        os.environ[WAIT_POLICY] = "PASSIVE"


def busy_cores() -> float:
    """How many of the cores that this process may use are kept busy, by a look of ``SECONDS_LOOKED_AT``."""
    of_each = psutil.cpu_percent(interval=SECONDS_LOOKED_AT, percpu=True)
    return sum(of_each[core] for core in usable_cores() if core < len(of_each)) / 100


def give_way() -> None:
    """Let the training's own threads go first if they spin, in a process that loads data."""
    # Windows has no such call.
    if hasattr(os, "nice") and os.environ.get(WAIT_POLICY) != "PASSIVE":
        os.nice(NICENESS_OF_A_LOADER)
