"""How far a run is: steps done, the log so far, and what the next line of the log will be made of."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch
from accelerate import Accelerator

from unipt_train.engine.checkpoints import find_broken, find_checkpoints, load_checkpoint, save_checkpoint
from unipt_train.objectives.base import Tensors

logger = logging.getLogger(__name__)
Returned = TypeVar("Returned")
LogLine = dict[str, float]


class Progress:
    """The state of a run that its checkpoints keep beside weights and optimizers.

    It begins where the newest whole checkpoint ended, whose weights and optimizers it has loaded.

    Args:
        accelerator: has prepared what is trained.
        folder: where the checkpoints of the run lie.

    Attributes:
        step: number of steps done.
        log: the lines so far, {"step", loss names ..., "learning_rate", "samples_per_second"}.
    """

    def __init__(self, accelerator: Accelerator, folder: Path) -> None:
        self.accelerator = accelerator
        self.folder = folder
        self.step = 0
        self.log: list[LogLine] = []
        self._sums: dict[str, float | torch.Tensor] = {}
        self._since_step = 0
        self._truncated: int | torch.Tensor = 0
        if accelerator.is_main_process:
            for checkpoint, missing in find_broken(folder).items():
                logger.warning("%s lacks %s, so this run does not go on from it", checkpoint, missing)
        checkpoints = find_checkpoints(folder)
        if checkpoints:
            self.step = max(checkpoints)
            self._go_on_from(checkpoints[self.step])
        self._timed_from = time.perf_counter()
        self._timed_step = self.step

    def _go_on_from(self, checkpoint: Path) -> None:
        kept = load_checkpoint(self.accelerator, checkpoint)
        self.log = kept["log"]
        self._sums = kept["sums"]
        self._since_step = kept["since_step"]
        # The number kept is that of all processes; only one may go on counting from it.
        self._truncated = kept["truncated"] if self.accelerator.is_main_process else 0
        if self.accelerator.is_main_process:
            logger.info("resuming at step %s from %s", self.step, checkpoint)

    def add(self, losses: Tensors, truncated: int | torch.Tensor) -> None:
        """Count a step with its losses, in which this process has cut ``truncated`` captions."""
        self.step += 1
        self._truncated = self._truncated + truncated
        # Tensors stay on their device: reading a number would make the processor wait for a GPU in every step.
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value.detach().double()

    def truncated_everywhere(self) -> int:
        """How many captions were cut in all processes, which must all ask."""
        own = torch.as_tensor(self._truncated, device=self.accelerator.device)
        return int(self.accelerator.reduce(own, "sum"))

    def untimed(self, call: Callable[[], Returned]) -> Returned:
        """What ``call`` returns; its time does not count as time of steps."""
        begun = time.perf_counter()
        returned = call()
        self._timed_from += time.perf_counter() - begun
        return returned

    def add_line(self, batch_size: int, learning_rate: float, measured: dict[str, float]) -> LogLine:
        """Append to the log the means since its last line, and what was ``measured`` at this step.

        Returns:
            The same numbers, less rounded and without the step, for a tracker.
        """
        now = time.perf_counter()
        steps = self.step - self._since_step
        means = {name: round(float(total) / steps, 6) for name, total in self._sums.items()}
        means |= measured
        rate = (self.step - self._timed_step) * batch_size / (now - self._timed_from)
        # Of a rate four digits are meant, whatever its size.
        shown_rate = float(f"{rate:.4g}")
        self.log.append({"step": self.step, **means, "learning_rate": learning_rate, "samples_per_second": shown_rate})
        self._sums = {}
        self._since_step = self.step
        self._timed_from = now
        self._timed_step = self.step
        return means | {"learning_rate": learning_rate, "samples_per_second": rate}

    def save(self) -> None:
        """Write a checkpoint of this step."""
        kept = {
            "log": self.log,
            "sums": {name: float(total) for name, total in self._sums.items()},
            "since_step": self._since_step,
            "truncated": self.truncated_everywhere(),
        }
        save_checkpoint(self.accelerator, self.folder, self.step, kept)
