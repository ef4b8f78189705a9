"""The retrieval metric against the field's usual code at the size of ICFG-PEDES's test set; a part of `make bench`.

19,848 captions are ranked against 19,848 images of 1,000 people, with embeddings of 512 numbers. The usual code
computes the whole similarity matrix and sorts it by ``argsort``; the metric of this project counts the ranks of the
hits in blocks. Each runs in a process of its own with one thread, so that its peak memory is its own. What it needs
before it begins is not counted. This module starts such a process as

    python -m unipt_train.speed.ranking {argsort,blocks}
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from modeling_unipt.common.user_errors import UserError
from unipt_train.metrics.person_retrieval.person_retrieval import retrieval_metrics
from unipt_train.speed.figures import Figure

ITEMS = 19_848
PEOPLE = 1_000
DIMENSIONS = 512
NOISE = 3.0
SAMPLE_SECONDS = 0.005
# The whole matrix of similarities, its order and what is made of them.
ARGSORT_BYTES_OF_A_PAIR = 30


def embeddings(items: int = ITEMS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noisy copies of one direction for each person.

    Returns:
        Embeddings of texts and of images, both (items, DIMENSIONS) float32, and the person_id (items,) of both.
    """
    rng = np.random.default_rng(0)
    person_ids = np.arange(items) % PEOPLE
    people = rng.standard_normal((PEOPLE, DIMENSIONS), dtype=np.float32)
    texts = people[person_ids] + NOISE * rng.standard_normal((items, DIMENSIONS), dtype=np.float32)
    images = people[person_ids] + NOISE * rng.standard_normal((items, DIMENSIONS), dtype=np.float32)
    return texts, images, person_ids


def argsort_metrics(text_embeds: np.ndarray, image_embeds: np.ndarray, person_ids: np.ndarray) -> dict[str, float]:
    """The metrics in percent from a full sort of the whole similarity matrix, written as the field writes it.

    Args:
        text_embeds, image_embeds: (N, D).
        person_ids: (N,), of both.
    """
    # The products are NumPy's and the sort is stable, as in the metric. Even so a product may be rounded otherwise in a
    # block than in the whole matrix, which swaps some near-ties.
    texts, images = (embeds / np.linalg.norm(embeds, axis=1, keepdims=True) for embeds in (text_embeds, image_embeds))
    ids = torch.from_numpy(person_ids)
    order = torch.argsort(torch.from_numpy(texts @ images.T), dim=1, descending=True, stable=True)
    matches = ids[order] == ids[:, None]
    found = matches.cumsum(dim=1)
    metrics = {f"R{k}": (found[:, k - 1] > 0).double().mean() for k in (1, 5, 10)}
    precision = found / torch.arange(1, found.shape[1] + 1)
    hits = matches.sum(dim=1)
    metrics["mAP"] = ((precision * matches).sum(dim=1, dtype=torch.float64) / hits).mean()
    last = matches.shape[1] - matches.flip(1).int().argmax(dim=1)
    metrics["mINP"] = (hits / last).double().mean()
    return {name: 100 * float(value) for name, value in metrics.items()}


def block_metrics(text_embeds: np.ndarray, image_embeds: np.ndarray, person_ids: np.ndarray) -> dict[str, float]:
    """The metrics in percent as this project counts them; for the arguments see :func:`argsort_metrics`."""
    metrics = retrieval_metrics(text_embeds, person_ids, image_embeds, person_ids)
    del metrics["queries_without_match"]
    return metrics


WAYS = {"argsort": argsort_metrics, "blocks": block_metrics}


class PeakMemory:
    """Bytes by which this process grew at most while the block ran, sampled every 5 ms. Linux only."""

    def __enter__(self) -> "PeakMemory":
        self.bytes = 0
        self._stop = threading.Event()
        self._begin = _resident()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self.bytes = max(self.bytes, _resident() - self._begin)

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def _resident() -> int:
    """Bytes of this process that are in memory."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Ranking:
    """What one way took: seconds by the clock and of the processor, peak bytes; and its metrics in percent."""

    seconds: float
    processor: float
    bytes: int
    metrics: dict[str, float]


def run_one(way: str) -> Ranking:
    """Rank in this process, by one of ``WAYS``."""
    texts, images, ids = embeddings()
    # The first calls start the libraries' threads and load their code, which is not to be counted.
    texts[:4] @ images[:4].T
    if way == "argsort":
        argsort_metrics(texts[:64], images[:64], ids[:64])
    with PeakMemory() as memory:
        begun = time.perf_counter()
        begun_on_processor = time.process_time()
        metrics = WAYS[way](texts, images, ids)
        seconds = time.perf_counter() - begun
        processor = time.process_time() - begun_on_processor
    return Ranking(seconds, processor, memory.bytes, metrics)


def run_apart(way: str) -> Ranking:
    """As :func:`run_one`, in a process of its own with one thread.

    Raises:
        UserError: the process failed, such as for want of memory.
    """
    one_thread = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    command = [sys.executable, "-m", "unipt_train.speed.ranking", way]
    finished = subprocess.run(command, capture_output=True, text=True, env=os.environ | one_thread)
    if finished.returncode:
        raise UserError(
            f"ranking by {way} ended with status {finished.returncode}; {ITEMS:,} x {ITEMS:,} by argsort needs "
            f"{ITEMS * ITEMS * ARGSORT_BYTES_OF_A_PAIR / 1e9:.0f} GB of memory"
        )
    return Ranking(**json.loads(finished.stdout.splitlines()[-1]))


def measure(folder: Path) -> Iterator[Figure]:
    """Measure both ways; ``folder`` is not used.

    Raises:
        UserError: a process failed, such as for want of memory.
    """
    usual = run_apart("argsort")
    ours = run_apart("blocks")
    size = f"{ITEMS:,} x {ITEMS:,}"
    differences = [abs(value - ours.metrics[name]) / 100 for name, value in usual.metrics.items()]
    yield Figure(f"{size} by argsort of the whole matrix", usual.seconds, "s")
    yield Figure(f"{size} by counting in blocks", ours.seconds, "s")
    yield Figure(f"{size} by argsort, of the processor", usual.processor, "s")
    yield Figure(f"{size} by counting, of the processor", ours.processor, "s")
    yield Figure("faster than argsort, times", usual.seconds / ours.seconds, at_least=8)
    yield Figure("less processor time than argsort, times", usual.processor / ours.processor)
    yield Figure("peak memory of argsort", usual.bytes / 1e9, "GB")
    yield Figure("peak memory of blocks", ours.bytes / 1e9, "GB")
    yield Figure("less memory than argsort, times", usual.bytes / ours.bytes, at_least=5)
    yield Figure("Rank-1 of both", ours.metrics["R1"], "%")
    yield Figure("largest difference of a metric, from 0 to 1", max(differences), at_most=1e-6)


if __name__ == "__main__":
    print(json.dumps(asdict(run_one(sys.argv[1]))))
