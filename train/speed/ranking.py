"""Measure the retrieval metric against the field's usual code at the size of ICFG-PEDES's test set.

    python train/bench_ranking.py

19,848 captions are ranked against 19,848 images of 1,000 people, embeddings of 512 numbers. The usual code computes the
whole similarity matrix and sorts it by ``argsort``; the metric of this project counts the ranks of the hits in blocks.
Each runs in a process of its own with one thread, so that its peak memory is its own; what it needs before it begins is
not counted.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time

import numpy as np

from modeling_unipt.common.user_errors import UserError, run_command

ITEMS, PEOPLE, DIMENSIONS, NOISE = 19_848, 1_000, 512, 3.0
WAYS = ("argsort", "blocks")


def embeddings(items=ITEMS):
    """(text_embeds, image_embeds, person_ids): noisy copies of a direction for each person."""
    rng, person_ids = np.random.default_rng(0), np.arange(items) % PEOPLE
    people = rng.standard_normal((PEOPLE, DIMENSIONS), dtype=np.float32)
    texts, images = (
        people[person_ids] + NOISE * rng.standard_normal((items, DIMENSIONS), dtype=np.float32) for _ in range(2)
    )
    return texts, images, person_ids


def argsort_metrics(text_embeds, image_embeds, person_ids):
    """The metrics in percent from a full sort of the whole similarity matrix, written as the field writes it."""
    import torch

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


class PeakMemory:
    """Bytes by which this process grew at most while the block ran, sampled every 5 ms."""

    def __enter__(self):
        self._stop, self._begin = threading.Event(), _resident()
        self.bytes = 0
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self):
        while not self._stop.wait(0.005):
            self.bytes = max(self.bytes, _resident() - self._begin)

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


def _resident():
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def run_one(way, items):
    """Seconds on the wall and of the processor, peak bytes and metrics of one way, in this process."""
    from unipt_train.metrics.person_retrieval.person_retrieval import retrieval_metrics

    texts, images, ids = embeddings(items)
    texts[:4] @ images[:4].T  # the libraries' own start-up
    if way == "argsort":
        argsort_metrics(texts[:64], images[:64], ids[:64])
    with PeakMemory() as memory:
        begun, processor = time.perf_counter(), time.process_time()
        found = argsort_metrics(texts, images, ids) if way == "argsort" else retrieval_metrics(texts, ids, images, ids)
        seconds, processor = time.perf_counter() - begun, time.process_time() - processor
    found.pop("queries_without_match", None)
    return {"seconds": seconds, "processor": processor, "bytes": memory.bytes, "metrics": found}


def measure(items=ITEMS):
    """Name -> figure, in the unit that the name ends with.

    Raises:
        UserError: a process failed, such as for want of memory (the whole matrix and what is made of it need 12 GB).
    """
    one_thread = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    results = {}
    for way in WAYS:
        command = [sys.executable, __file__, "--way", way, "--items", str(items)]
        finished = subprocess.run(command, capture_output=True, text=True, env=os.environ | one_thread)
        if finished.returncode:
            raise UserError(
                f"ranking by {way} ended with status {finished.returncode}; {items:,} x {items:,} by argsort needs "
                f"{items * items * 30 / 1e9:.0f} GB of memory"
            )
        results[way] = json.loads(finished.stdout.splitlines()[-1])
    usual, ours = (results[way] for way in WAYS)
    size = f"{items:,} x {items:,}"
    return {
        f"ranking {size} by argsort of the whole matrix, s": usual["seconds"],
        f"ranking {size} by counting in blocks, s": ours["seconds"],
        f"ranking {size} by argsort, s of the processor": usual["processor"],
        f"ranking {size} by counting, s of the processor": ours["processor"],
        "ranking: faster than argsort, times": usual["seconds"] / ours["seconds"],
        "ranking: less processor time than argsort, times": usual["processor"] / ours["processor"],
        "ranking: peak memory of argsort, GB": usual["bytes"] / 1e9,
        "ranking: peak memory of blocks, GB": ours["bytes"] / 1e9,
        "ranking: less memory than argsort, times": usual["bytes"] / ours["bytes"],
        "ranking: Rank-1 of both, percent": ours["metrics"]["R1"],
        "ranking: largest difference of a metric, from 0 to 1": max(
            abs(value - ours["metrics"][name]) / 100 for name, value in usual["metrics"].items()
        ),
    }


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=ITEMS, help=f"captions and images each (default: {ITEMS})")
    parser.add_argument("--way", choices=WAYS, help="measure one way alone, in this process, and print it as JSON")
    arguments = parser.parse_args(argv)
    if arguments.items < 2 * PEOPLE:
        raise UserError(f"--items {arguments.items} must be at least {2 * PEOPLE}, two of each person")
    if arguments.way:
        print(json.dumps(run_one(arguments.way, arguments.items)))
        return
    figures = measure(arguments.items)
    width = max(map(len, figures))
    for name, figure in figures.items():
        print(f"{name:<{width}}  {figure:12.6g}")


if __name__ == "__main__":
    run_command(main)
