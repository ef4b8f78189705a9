"""A process of two that write a checkpoint together, of which the second one is late.

torchrun --nproc-per-node 2 -m tests.helpers.late_rank FOLDER
"""

import sys
import time
from pathlib import Path

import torch

from unipt_train.engine.checkpoints import save_checkpoint
from unipt_train.engine.set_up import make_accelerator

LATE_SECONDS = 1.5


def main(folder):
    accelerator = make_accelerator("no")
    assert accelerator.num_processes == 2
    accelerator.prepare(torch.nn.Linear(2, 1))
    save_state = accelerator.save_state

    def save_late(output):
        time.sleep(LATE_SECONDS * accelerator.process_index)
        save_state(output)

    accelerator.save_state = save_late
    save_checkpoint(accelerator, folder, 5, {})
    accelerator.end_training()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
