"""Choosing the checkpoint of a training run by Rank-1 on people who are neither trained on nor tested on."""

import logging
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from modeling_unipt.common.atomic_files import write_json, written_aside
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.processing_unipt import UniPTProcessor
from unipt_train.data.loading import Splits, check_names, load_splits, rows_of
from unipt_train.data.rows import JoinedRows, Rows
from unipt_train.engine.checkpoints import CHECKPOINTS, find_checkpoints
from unipt_train.evaluation.measure import embed_rows, measure

logger = logging.getLogger(__name__)
RECORD = "validation.json"
# The second is what load_dataset makes of a file val.parquet without a card.
DEFAULT_SPLITS = ("val", "validation")
LOGGED = ("R1", "R5", "R10", "mAP")


@dataclass(frozen=True)
class ValidationOptions:
    """Where to choose the checkpoint; the fields are options of train/finetune.py and described there."""

    dataset: str
    split: str
    validation_split: str | None
    held_out_people: float
    seed: int


@dataclass(frozen=True)
class DividedRows:
    """Rows to train on, and rows to choose the checkpoint on.

    Attributes:
        training, validation: rows of different people.
        split: the split that the validation rows come from; of several data sets name -> split.
        held_out_person_ids: whom the validation rows show if they come from the split that is trained on, else []; of
            several data sets, name -> such a list for those from which people are held out.
    """

    training: Rows
    validation: Rows
    split: str | dict[str, str]
    held_out_person_ids: list[Any] | dict[str, list[Any]]

    @property
    def held_out(self) -> int:
        """The number of people who are held out of training."""
        if isinstance(self.held_out_person_ids, dict):
            return sum(map(len, self.held_out_person_ids.values()))
        return len(self.held_out_person_ids)


def divide_benchmarks(names: Sequence[str], options: ValidationOptions, columns: Iterable[str]) -> DividedRows:
    """:func:`divide_rows` of one data set or of each of several, whose people are other people.

    The validation rows of several are one gallery.

    Raises:
        UserError: as :func:`divide_rows`; or a data set cannot be loaded or is named twice.
    """
    check_names(names)
    columns = list(columns)
    parts = {name: divide_rows(load_splits(name), replace(options, dataset=name), columns) for name in names}
    if len(parts) == 1:
        return parts[names[0]]
    return DividedRows(
        JoinedRows({name: part.training for name, part in parts.items()}),
        JoinedRows({name: part.validation for name, part in parts.items()}),
        {name: part.split for name, part in parts.items()},
        {name: part.held_out_person_ids for name, part in parts.items() if part.held_out_person_ids},
    )


def divide_rows(splits: Splits, options: ValidationOptions, columns: Iterable[str]) -> DividedRows:
    """Take the validation rows from a split of their own, or else hold people out of training.

    Args:
        splits: the dataset, as :func:`unipt_train.data.loading.load_splits` gives it.
        options: without a ``validation_split`` one of ``DEFAULT_SPLITS`` is taken, where there is one.
        columns: names of the columns that the rows need.

    Raises:
        UserError: the split is the test split, the one trained on, or does not exist; or too few people to divide.
    """
    wanted = options.validation_split
    if wanted in ("test", options.split):
        what = "the test split" if wanted == "test" else "what is trained on"
        raise UserError(f"--validation-split {wanted} is {what}; a checkpoint is chosen on other people")
    if wanted is None:
        wanted = next((name for name in DEFAULT_SPLITS if name in splits and name != options.split), None)
    columns = list(columns)
    rows = rows_of(splits, options.dataset, options.split, columns)
    if wanted is not None:
        return DividedRows(rows, rows_of(splits, options.dataset, wanted, columns), wanted, [])
    held_out = held_out_people(rows["person_id"], options.held_out_people, options.seed)
    is_out = np.isin(rows["person_id"], held_out)
    training = rows.select(np.flatnonzero(~is_out))
    return DividedRows(training, rows.select(np.flatnonzero(is_out)), options.split, held_out)


def held_out_people(person_ids: Iterable[Any], share: float, seed: int) -> list[Any]:
    """A ``share`` of the people, at least two, drawn by the seed: a sorted list of person_ids.

    Raises:
        UserError: ``share`` is not between 0 and 1, or fewer than two people would be left.
    """
    people = sorted(set(person_ids))
    if not 0 < share < 1:
        raise UserError(f"--held-out-people {share} must lie between 0 and 1")
    # One person alone would always be found at Rank 1.
    count = max(2, round(share * len(people)))
    if len(people) - count < 2:
        raise UserError(
            f"there are {len(people)} people to train on; {count} held out to choose a checkpoint leave too few: give "
            "--validation-split, or --eval-steps 0 to take the last step"
        )
    return sorted(people[index] for index in np.random.default_rng(seed).choice(len(people), count, replace=False))


class Validation:
    """Measures a model every ``every`` steps and after the last, and keeps the weights of the highest Rank-1.

    Of equal scores the earlier step counts. The training loop calls this after each step. The processes share the
    embedding, every one measures all of it, and the first one keeps the weights; they lie with the checkpoints, and are
    removed with these.

    Args:
        accelerator: of the run.
        rows: what to measure on, and what to record about it.
        processor: of the model.
        every: steps between measurements.
        last_step: the number of steps of the run.
        folder: the work folder.
        dtype: number format in which the model embeds, see :func:`modeling_unipt.precision.pick_dtype`.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        rows: DividedRows,
        processor: UniPTProcessor,
        every: int,
        last_step: int,
        folder: Path,
        dtype: str = "auto",
    ) -> None:
        self.accelerator = accelerator
        self.dtype = dtype
        self.rows = rows
        self.processor = processor
        self.every = every
        self.last_step = last_step
        self.folder = Path(folder)
        self.best_file = self.folder / CHECKPOINTS / "best.safetensors"
        self.best = self._read_best()
        if self.best is None:
            self._begin_anew()

    def _read_best(self) -> tuple[float, int] | None:
        """(Rank-1, step) of the weights kept, which an earlier process may have left."""
        if not self.best_file.exists():
            return None
        with safe_open(self.best_file, "pt") as file:
            kept = file.metadata()
        return float(kept["R1"]), int(kept["step"])

    def _begin_anew(self) -> None:
        """Remove the checkpoints after which the best weights so far would be missing.

        A run that was killed while its checkpoints were removed may have lost the best weights first.
        """
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            for step, checkpoint in find_checkpoints(self.best_file.parent).items():
                if step >= self.every:
                    shutil.rmtree(checkpoint)
        self.accelerator.wait_for_everyone()

    def __call__(self, step: int, objective: torch.nn.Module) -> dict[str, float] | None:
        """Measure the model of a prepared objective after a step.

        Returns:
            {"validation_R1", ...} in percent where this step is measured, else None.

        Raises:
            UserError: the model's embeddings are not finite.
        """
        if step % self.every and step != self.last_step:
            return None
        model = self.accelerator.unwrap_model(objective, keep_torch_compile=False).model
        model.eval()
        embedded = embed_rows(
            model, self.processor, self.rows.validation, dtype=self.dtype, accelerator=self.accelerator
        )
        try:
            metrics = measure(embedded)
        except ValueError as error:
            raise UserError(
                f"step {step} cannot be measured on validation: {error}; the checkpoints in {self.best_file.parent} "
                "are kept; lower the learning rate or set --precision no"
            ) from None
        model.train()
        # A resumed run measures again what came after its checkpoint; the same step replaces itself.
        if self.best is None or metrics["R1"] > self.best[0] or step == self.best[1]:
            self.best = (metrics["R1"], step)
            self._keep(model)
        return {f"validation_{name}": round(metrics[name], 4) for name in LOGGED}

    def _keep(self, model: PreTrainedModel) -> None:
        if self.accelerator.is_main_process:
            score, step = self.best
            self.best_file.parent.mkdir(exist_ok=True)
            weights = {name: value.contiguous() for name, value in model.state_dict().items()}
            with written_aside(self.best_file) as aside:
                # repr keeps every digit, so that a resumed run compares with the very score.
                save_file(weights, aside, {"R1": repr(score), "step": str(step)})

    def finish(self, model: PreTrainedModel) -> None:
        """Give ``model`` the weights of the chosen step, and write into the work folder which it is."""
        # Without any step there was nothing to choose.
        if self.best is None or not self.accelerator.is_main_process:
            return
        model.load_state_dict(load_file(self.best_file))
        score, step = self.best
        people = len(set(self.rows.validation["person_id"]))
        record = {
            "metric": "R1",
            "score": score,
            "step": step,
            "steps": self.last_step,
            "eval_steps": self.every,
            "people": people,
            "split": self.rows.split,
            "held_out_person_ids": self.rows.held_out_person_ids,
        }
        write_json(self.folder / RECORD, record, indent=1)
        who = "held-out people" if self.rows.held_out_person_ids else "people"
        split = self.rows.split
        where = f"the split {split}" if isinstance(split, str) else f"several data sets, {len(split)} splits"
        logger.info(
            "step %s of %s is kept: Rank-1 %.2f on %s %s of %s",
            step,
            self.last_step,
            score,
            people,
            who,
            where,
        )
