"""What a process that loads data does before its first batch."""

from dataclasses import dataclass
from functools import partial

import torch

from unipt_train.data.batches import EpochBatches
from unipt_train.data.pairs import Samples
from unipt_train.engine.waiting import give_way


@dataclass(frozen=True)
class WorkerStart:
    """A ``worker_init_fn`` of a loader, which can be pickled.

    Attributes:
        batches: what the loader is asked for.
        process: number of the training process that the loader belongs to.
        processes: how many of them share each batch.
        gives_way: whether workers let the training's own threads go first.
    """

    batches: EpochBatches
    process: int
    processes: int
    gives_way: bool

    def __call__(self, worker: int) -> None:
        if self.gives_way:
            give_way()
        about = torch.utils.data.get_worker_info()
        self.tell(about.dataset, worker, about.num_workers)

    def tell(self, dataset: torch.utils.data.Dataset, worker: int, workers: int) -> None:
        """Tell a dataset which of its samples a worker will be asked for, so that it can read them sooner."""
        if isinstance(dataset, Samples):
            dataset.expect(partial(self.batches.coming, self.process, self.processes, worker, workers))
