"""The loop that pre-training and fine-tuning share: steps, log, checkpoints, exact resume."""

import dataclasses
import json
import math
import os
import re
import shutil
import time
from pathlib import Path

import torch
from tqdm import tqdm

from modeling_unipt.common.output_folders import finish_output, start_output
from modeling_unipt.common.user_errors import UserError
from unipt_train.data.pairs import EpochBatches
from unipt_train.engine.joint_batch import joint_backward
from unipt_train.engine.run_arguments import HOW_IT_RUNS, TRACKING

CHECKPOINTS_KEPT = 2
IDS_TOLD = 8


def _checkpoints(folder):
    found = [path for path in Path(folder).glob("step-*") if re.fullmatch(r"step-\d{8}", path.name)]
    return sorted(found)


def _save_checkpoint(accelerator, folder, step, progress):
    final = Path(folder) / f"step-{step:08d}"
    aside = final.with_name(final.name + ".partial")
    if accelerator.is_main_process:
        shutil.rmtree(aside, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(aside))
    if accelerator.is_main_process:
        (aside / "progress.json").write_text(json.dumps(progress), encoding="utf-8")
        os.replace(aside, final)
        for old in _checkpoints(folder)[:-CHECKPOINTS_KEPT]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


class _Progress:
    """How far a run is: the steps done, the log so far, and the sums of losses for its next line."""

    def __init__(self, accelerator, folder):
        self.accelerator, self.folder = accelerator, Path(folder)
        self.step, self.log, self.sums, self.since_step, self.truncated = 0, [], {}, 0, 0
        found = _checkpoints(folder)
        if found:
            accelerator.load_state(str(found[-1]))
            self.step = int(found[-1].name.removeprefix("step-"))
            kept = json.loads((found[-1] / "progress.json").read_text(encoding="utf-8"))
            self.log, self.sums, self.since_step = kept["log"], kept["sums"], kept["since_step"]
            self.truncated = kept["truncated"] if accelerator.is_main_process else 0
            accelerator.print(f"resuming at step {self.step} from {found[-1]}")
        self.timed_from, self.timed_step = time.perf_counter(), self.step

    def add(self, losses, truncated):
        """Count a step, in which so many captions of this process were ``truncated``."""
        self.step += 1
        self.truncated = self.truncated + truncated
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value.detach().double()

    def truncated_everywhere(self):
        """How many captions were truncated in all processes, which must all ask."""
        return int(self.accelerator.reduce(torch.as_tensor(self.truncated, device=self.accelerator.device), "sum"))

    def untimed(self, call, *given):
        """What ``call`` returns; its time does not count as time of steps."""
        begun = time.perf_counter()
        returned = call(*given)
        self.timed_from += time.perf_counter() - begun
        return returned

    def line(self, batch_size, learning_rate, measured):
        """Append the means since the last line to the log, and the numbers ``measured`` at this step."""
        now = time.perf_counter()
        means = {name: round(float(total) / (self.step - self.since_step), 6) for name, total in self.sums.items()}
        rate = (self.step - self.timed_step) * batch_size / (now - self.timed_from)
        means |= measured
        line = {"step": self.step, **means, "learning_rate": learning_rate, "samples_per_second": float(f"{rate:.4g}")}
        self.log.append(line)
        self.sums, self.since_step, self.timed_from, self.timed_step = {}, self.step, now, self.step
        return means | {"learning_rate": learning_rate, "samples_per_second": rate}

    def save(self):
        sums = {name: float(total) for name, total in self.sums.items()}
        kept = {"log": self.log, "sums": sums, "since_step": self.since_step, "truncated": self.truncated_everywhere()}
        _save_checkpoint(self.accelerator, self.folder, self.step, kept)


def check_finite(loss, step, dataset, batches, folder):
    """Raise a UserError if the loss of a step (counted from 1) is not a finite number."""
    if math.isfinite(loss):
        return
    ids = [str(dataset.name_of(index)) for _, index in batches.keys_of(step - 1)]
    named = ", ".join(ids[:IDS_TOLD]) + (f" and {len(ids) - IDS_TOLD} more" if len(ids) > IDS_TOLD else "")
    kept = [path.name for path in _checkpoints(folder)]
    kept = f"the last good checkpoint is {folder / kept[-1]}" if kept else "no checkpoint was written before"
    raise UserError(
        f"the loss became {loss} at step {step}, on the batch of images {named}; {kept}; look at these images, lower "
        "the learning rate or set --precision no"
    )


def out_of_memory(step, arguments):
    """The UserError for an accelerator that has not the memory for a step."""
    return UserError(
        f"out of GPU memory at step {step + 1}: lower --chunk_size (now {arguments.chunk_size or 'the whole batch'}): "
        "the losses stay those of the batch; or set --gradient_checkpointing true or --precision bf16; then run the "
        "command again: it goes on from its last checkpoint"
    )


def run_training(
    accelerator,
    model,
    optimizers,
    schedulers,
    dataset,
    collator,
    arguments,
    folder,
    after_step=None,
    sampler=EpochBatches,
):
    """Train for ``arguments.max_steps`` steps, going on from the newest whole checkpoint below ``folder`` if any.

    Args:
        model: what :func:`unipt_train.engine.joint_batch.joint_backward` calls an objective; all its losses are logged.
        arguments: has max_steps, batch_size (global) and what :class:`unipt_train.engine.run_arguments.RunArguments` has.
        folder: the work folder; checkpoints go to ``folder/checkpoints``.
        after_step (*optional*): (step, model) -> numbers to log for this step, a dict, or None.
        sampler: `EpochBatches`, or what is called and behaves like it.
    Returns:
        (prepared model, log): the log is a list of {"step", "samples_per_second", "learning_rate", loss names...}.
    Raises:
        UserError: the batch cannot be shared evenly, the loss is no longer finite, or the memory of a GPU does not
            suffice (the checkpoints stay).
    """
    if min(arguments.batch_size, len(dataset)) % accelerator.num_processes:
        raise UserError(
            f"a batch of {min(arguments.batch_size, len(dataset))} cannot be shared evenly by "
            f"{accelerator.num_processes} processes; choose another --batch_size"
        )
    parts = accelerator.prepare(model, *optimizers, *schedulers)
    model, parts = parts[0], parts[1:]
    optimizers, schedulers = parts[: len(optimizers)], parts[len(optimizers) :]
    checkpoints = Path(folder) / "checkpoints"
    progress = _Progress(accelerator, checkpoints)
    batches = sampler(len(dataset), arguments.batch_size, arguments.seed, progress.step, arguments.max_steps)
    loader = accelerator.prepare(
        torch.utils.data.DataLoader(
            dataset,
            batch_sampler=batches,
            collate_fn=collator,
            num_workers=arguments.num_workers,
            persistent_workers=False,
        )
    )
    model.train()
    bar = tqdm(total=arguments.max_steps, initial=progress.step, unit="step", disable=not accelerator.is_main_process)
    last = None
    for batch in loader:
        # Dropout and drawn negatives follow from the step alone, so that a resumed run repeats an uninterrupted one.
        seed = (arguments.seed * 1_000_003 + progress.step) * 1_009 + accelerator.process_index
        torch.manual_seed(seed)
        truncated = batch.pop("truncated").sum() if "truncated" in batch else 0
        try:
            losses = joint_backward(accelerator, model, batch, arguments.chunk_size, seed)
            if arguments.max_grad_norm:
                accelerator.clip_grad_norm_(model.parameters(), arguments.max_grad_norm)
            for part in (*optimizers, *schedulers):
                part.step()
            for optimizer in optimizers:
                optimizer.zero_grad()
        except torch.OutOfMemoryError:
            raise out_of_memory(progress.step, arguments) from None
        # Looked at a step later, when it is there: waiting for it would leave a GPU idle.
        if last is not None:
            check_finite(float(last), progress.step, dataset, batches, checkpoints)
        progress.add(losses, truncated)
        last = losses["loss"].detach()
        bar.update()
        step = progress.step
        saves = arguments.save_steps and step % arguments.save_steps == 0 and step < arguments.max_steps
        measured = progress.untimed(after_step, step, model) if after_step else None
        logs = step % arguments.log_steps == 0 or step == arguments.max_steps or measured
        if saves or logs:
            check_finite(float(last), step, dataset, batches, checkpoints)
        if logs:
            line = progress.line(batches.batch_size, schedulers[0].get_last_lr()[0], measured or {})
            accelerator.log(line, step=step)
            bar.set_postfix({name: f"{line[name]:.3f}" for name in losses})
        if saves:
            progress.save()
    bar.close()
    truncated = progress.truncated_everywhere()
    if truncated:
        accelerator.print(
            f"{truncated} of {progress.step * batches.batch_size} captions were longer than the model "
            "reads and were truncated"
        )
    return model, progress.log


def write_log(log, folder, title):
    """Write ``training_log.json`` and, when there is anything to draw, ``loss_curve.png``."""
    folder = Path(folder)
    (folder / "training_log.json").write_text(json.dumps(log, indent=1) + "\n", encoding="utf-8")
    if not log:
        return
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.5), layout="constrained")
    for name in (key for key in log[0] if key.endswith("loss")):
        axes.plot([row["step"] for row in log], [row[name] for row in log], label=name.replace("_", " "))
    axes.set(xlabel="step", ylabel="loss", title=title)
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(folder / "loss_curve.png", dpi=120)
    plt.close(figure)


def claim_output(accelerator, arguments, more):
    """``start_output`` with resumption, done once and told to every process.

    Its settings are the ``arguments`` that shape the result, and ``more``.
    """
    settings = {k: v for k, v in dataclasses.asdict(arguments).items() if k not in HOW_IT_RUNS} | more
    told = [None, None]
    if accelerator.is_main_process:
        try:
            told[0] = start_output(arguments.output_dir, settings, keep_partial=True)
        except UserError as error:
            told[1] = error
    if accelerator.num_processes > 1:
        from accelerate.utils import broadcast_object_list

        broadcast_object_list(told)
    if told[1] is not None:
        raise told[1]
    return told[0]


def start_tracking(accelerator, folder):
    """Have Accelerate's tracker begin; one that writes files does so in ``folder``/``TRACKING``."""
    accelerator.project_configuration.logging_dir = str(folder)
    if accelerator.log_with:
        accelerator.init_trackers(TRACKING)


def save_result(accelerator, trained, model, processor, log, title, folder, output):
    """Write model, processor, log and curve into ``folder``, drop its checkpoints and rename it to ``output``.

    Args:
        trained: what the accelerator prepared, and has in pieces under FSDP; its part named "model" is ``model``.
    """
    weights = accelerator.get_state_dict(trained)
    if accelerator.is_main_process:
        weights = {name.removeprefix("_orig_mod."): value for name, value in weights.items()}  # of torch.compile
        own = {name.removeprefix("model."): value for name, value in weights.items() if name.startswith("model.")}
        model.save_pretrained(folder, state_dict=own)
        processor.save_pretrained(folder)
        write_log(log, folder, title)
        shutil.rmtree(Path(folder) / "checkpoints", ignore_errors=True)
        finish_output(folder, output)
        print(f"wrote {output}")
    accelerator.wait_for_everyone()
    accelerator.end_training()
