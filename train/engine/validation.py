"""Choosing the checkpoint of a training run by Rank-1 on people who are neither trained on nor tested on."""

import os
import shutil
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from modeling_unipt.common.atomic_files import write_json
from modeling_unipt.common.user_errors import UserError
from unipt_train.data.pairs import rows_of
from unipt_train.evaluation.measure import embed_rows, measure

RECORD = "validation.json"
DEFAULT_SPLITS = ("val", "validation")  # the second is what load_dataset makes of a file val.parquet without a card


def validation_rows(splits, arguments, columns):
    """Where to choose the checkpoint: on a split of the dataset, or on training people held out.

    Args:
        splits: the dataset, as ``data.load_splits`` gives it.
        arguments: has ``dataset``, ``split``, ``validation_split`` (None: one of ``DEFAULT_SPLITS`` where there is one,
            else people are held out), ``held_out_people`` (share of the people) and ``seed``.
        columns: those that the rows need.
    Returns:
        (rows to train on, rows to validate on, what to record: {"split", "held_out_person_ids"}).
    Raises:
        UserError: the split is the test split, the one trained on, or does not exist; or too few people to divide.
    """
    wanted = arguments.validation_split
    if wanted in ("test", arguments.split):
        what = "the test split" if wanted == "test" else "what is trained on"
        raise UserError(f"--validation_split {wanted} is {what}; a checkpoint is chosen on other people")
    if wanted is None:
        wanted = next((name for name in DEFAULT_SPLITS if name in splits and name != arguments.split), None)
    rows = rows_of(splits, arguments.dataset, arguments.split, columns)
    if wanted is not None:
        record = {"split": wanted, "held_out_person_ids": []}
        return rows, rows_of(splits, arguments.dataset, wanted, columns), record
    held_out = held_out_people(rows["person_id"], arguments.held_out_people, arguments.seed)
    is_out = np.isin(rows["person_id"], held_out)
    record = {"split": arguments.split, "held_out_person_ids": held_out}
    return rows.select(np.flatnonzero(~is_out)), rows.select(np.flatnonzero(is_out)), record


def held_out_people(person_ids, share, seed):
    """A ``share`` of the people, at least two, drawn by the seed: a sorted list.

    Raises:
        UserError: ``share`` is not between 0 and 1, or fewer than two people would be left.
    """
    people = sorted(set(person_ids))
    if not 0 < share < 1:
        raise UserError(f"--held_out_people {share} must lie between 0 and 1")
    count = max(2, round(share * len(people)))
    if len(people) - count < 2:
        raise UserError(
            f"there are {len(people)} people to train on; {count} held out to choose a checkpoint leave too few: give "
            "--validation_split, or --eval_steps 0 to take the last step"
        )
    return sorted(people[index] for index in np.random.default_rng(seed).choice(len(people), count, replace=False))


class Validation:
    """Measures a `Finetuner`'s model every ``every`` steps and after the last, and keeps the weights of highest Rank-1;
    of equal ones the earlier. Called by the training loop after each step; every process measures, the first one keeps.

    Args:
        rows: of the validation split.
        processor: `UniPTProcessor`.
        every, last_step: which steps are measured.
        folder: the work folder; the weights lie with the checkpoints, and go with them.
        record: what :func:`validation_rows` gave.
    """

    def __init__(self, accelerator, rows, processor, every, last_step, folder, record):
        self.accelerator, self.rows, self.processor = accelerator, rows, processor
        self.every, self.last_step, self.folder, self.record = every, last_step, Path(folder), record
        self.best_file = self.folder / "checkpoints" / "best.safetensors"
        self.best = self._read_best()
        if self.best is None and list(self.best_file.parent.glob("step-*")):
            self._begin_anew()

    def _read_best(self):
        """(Rank-1, step) of the weights kept, which an earlier process may have left."""
        if not self.best_file.exists():
            return None
        with safe_open(self.best_file, "pt") as file:
            kept = file.metadata()
        return float(kept["R1"]), int(kept["step"])

    def _begin_anew(self):
        """Drop checkpoints after which the best weights so far would be missing: killed while a result was tidied up,
        a run may have lost these first."""
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            for checkpoint in self.best_file.parent.glob("step-*"):
                if int(checkpoint.name.split("-")[1].split(".")[0]) >= self.every:
                    shutil.rmtree(checkpoint)
        self.accelerator.wait_for_everyone()

    def __call__(self, step, finetuner):
        """{"validation_R1", ...} in percent where this step is measured, else None."""
        if step % self.every and step != self.last_step:
            return None
        model = self.accelerator.unwrap_model(finetuner).model
        model.eval()
        try:
            metrics = measure(embed_rows(model, self.processor, self.rows))
        except ValueError as error:
            raise UserError(
                f"step {step} cannot be measured on validation: {error}; the checkpoints in {self.best_file.parent} "
                "are kept; lower the learning rate or set --precision no"
            ) from None
        model.train()
        # A resumed run measures again what came after its checkpoint; the same step replaces itself.
        if self.best is None or metrics["R1"] > self.best[0] or step == self.best[1]:
            self.best = metrics["R1"], step
            self._keep(model)
        return {f"validation_{name}": round(metrics[name], 4) for name in ("R1", "R5", "R10", "mAP")}

    def _keep(self, model):
        if self.accelerator.is_main_process:
            self.best_file.parent.mkdir(exist_ok=True)
            aside = self.best_file.with_name(self.best_file.name + ".partial")
            weights = {name: value.contiguous() for name, value in model.state_dict().items()}
            save_file(weights, aside, {"R1": repr(self.best[0]), "step": str(self.best[1])})
            os.replace(aside, self.best_file)

    def finish(self, model):
        """Give ``model`` the weights of the chosen step, and write into the work folder which it is."""
        if self.best is None or not self.accelerator.is_main_process:  # there may have been no step
            return
        model.load_state_dict(load_file(self.best_file))
        (score, step), people = self.best, len(set(self.rows["person_id"]))
        told = {"metric": "R1", "score": score, "step": step, "steps": self.last_step, "eval_steps": self.every}
        write_json(self.folder / RECORD, told | {"people": people} | self.record, indent=1)
        where = "held-out people of the split" if self.record["held_out_person_ids"] else "people of the split"
        print(f"step {step} of {self.last_step} is kept: Rank-1 {score:.2f} on {people} {where} {self.record['split']}")
