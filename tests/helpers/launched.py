"""Run by a launcher: says what the accelerator of a training is, or why there is none.

torchrun --nproc-per-node 2 -m tests.helpers.launched
"""

from modeling_unipt.common.user_errors import run_command
from unipt_train.engine.set_up import make_accelerator


def main():
    accelerator = make_accelerator("no")
    # In one piece, because the lines of two processes would mix.
    print(f"rank {accelerator.process_index} of {accelerator.num_processes}, {accelerator.device.type}\n", end="")
    accelerator.end_training()


if __name__ == "__main__":
    run_command(main)
