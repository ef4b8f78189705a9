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

from data import EpochBatches
from modeling_unipt.output_folders import finish_output, start_output
from modeling_unipt.user_errors import UserError
from run_arguments import HOW_IT_RUNS

CHECKPOINTS_KEPT = 2
IDS_TOLD = 8


def _checkpoints(folder):
    found = [path for path in Path(folder).glob("step-*") if re.fullmatch(r"step-\d{8}", path.name)]
    return sorted(found)


def _save_checkpoint(accelerator, folder, step, log):
    final = Path(folder) / f"step-{step:08d}"
    aside = final.with_name(final.name + ".partial")
    if accelerator.is_main_process:
        shutil.rmtree(aside, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(aside))
    if accelerator.is_main_process:
        (aside / "log.json").write_text(json.dumps(log), encoding="utf-8")
        os.replace(aside, final)
        for old in _checkpoints(folder)[:-CHECKPOINTS_KEPT]:
            shutil.rmtree(old)
    accelerator.wait_for_everyone()


class _Resumed:
    """The state of a run: what is trained, the steps done and the log so far."""

    def __init__(self, accelerator, folder):
        self.accelerator, self.folder, self.step, self.log = accelerator, Path(folder), 0, []
        found = _checkpoints(folder)
        if found:
            accelerator.load_state(str(found[-1]))
            self.step = int(found[-1].name.removeprefix("step-"))
            self.log = json.loads((found[-1] / "log.json").read_text(encoding="utf-8"))
            accelerator.print(f"resuming at step {self.step} from {found[-1]}")

    def save(self):
        _save_checkpoint(self.accelerator, self.folder, self.step, self.log)


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
    knob = "lower --batch_size"
    if hasattr(arguments, "chunk_size"):
        knob = (
            f"lower --chunk_size (now {arguments.chunk_size or 'the whole batch'}): the losses stay those of the batch"
        )
    return UserError(
        f"out of GPU memory at step {step + 1}: {knob}; or set --gradient_checkpointing true or --precision bf16; then "
        "run the command again: it goes on from its last checkpoint"
    )


def run_training(accelerator, model, optimizers, schedulers, dataset, collator, take_step, arguments, folder):
    """Train for ``arguments.max_steps`` steps, going on from the newest whole checkpoint below ``folder`` if any.

    Args:
        take_step: (prepared model, batch, seed) -> dict of scalar tensors, all of which are logged; it has added the
            gradients of "loss" to the parameters. Its random choices follow from the seed alone.
        arguments: has max_steps, batch_size (global), seed, num_workers, save_steps, log_steps, max_grad_norm.
        folder: the work folder; checkpoints go to ``folder/checkpoints``.
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
    state = _Resumed(accelerator, checkpoints)
    batches = EpochBatches(len(dataset), arguments.batch_size, arguments.seed, state.step, arguments.max_steps)
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
    bar = tqdm(total=arguments.max_steps, initial=state.step, unit="step", disable=not accelerator.is_main_process)
    since, since_step, sums, last = time.perf_counter(), state.step, {}, None

    for batch in loader:
        # Dropout and drawn negatives follow from the step alone, so that a resumed run repeats an uninterrupted one.
        seed = (arguments.seed * 1_000_003 + state.step) * 1_009 + accelerator.process_index
        torch.manual_seed(seed)
        try:
            losses = take_step(model, batch, seed)
            if arguments.max_grad_norm:
                accelerator.clip_grad_norm_(model.parameters(), arguments.max_grad_norm)
            for part in (*optimizers, *schedulers):
                part.step()
            for optimizer in optimizers:
                optimizer.zero_grad()
        except torch.OutOfMemoryError:
            raise out_of_memory(state.step, arguments) from None
        # Looked at a step later, when it is there: waiting for it would leave a GPU idle.
        if last is not None:
            check_finite(float(last), state.step, dataset, batches, checkpoints)
        state.step += 1
        last = losses["loss"].detach()
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + value.detach().float()
        bar.update()
        saves = arguments.save_steps and state.step % arguments.save_steps == 0 and state.step < arguments.max_steps
        logs = state.step % arguments.log_steps == 0 or state.step == arguments.max_steps
        if saves or logs:
            check_finite(float(last), state.step, dataset, batches, checkpoints)
        if logs:
            elapsed, steps = time.perf_counter() - since, state.step - since_step
            means = {name: round(float(value) / steps, 6) for name, value in sums.items()}
            rate = steps * batches.batch_size / elapsed
            rates = {"learning_rate": schedulers[0].get_last_lr()[0], "samples_per_second": round(rate, 1)}
            state.log.append({"step": state.step, **means, **rates})
            accelerator.log(means | rates, step=state.step)
            bar.set_postfix({name: f"{value:.3f}" for name, value in means.items()} | {"samples/s": f"{rate:.0f}"})
            since, since_step, sums = time.perf_counter(), state.step, {}
        if saves:
            state.save()
    bar.close()
    accelerator.end_training()
    return model, state.log


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
    """Have Accelerate's tracker begin; one that writes files does so in ``folder/tracking``."""
    accelerator.project_configuration.logging_dir = str(folder)
    if accelerator.log_with:
        accelerator.init_trackers("tracking")


def save_result(accelerator, trained, model, processor, log, title, folder, output):
    """Write model, processor, log and curve into ``folder``, drop its checkpoints and rename it to ``output``.

    Args:
        trained: what the accelerator prepared, and has in pieces under FSDP; its part named "model" is ``model``.
    """
    weights = accelerator.get_state_dict(trained)
    if accelerator.is_main_process:
        own = {name.removeprefix("model."): value for name, value in weights.items() if name.startswith("model.")}
        model.save_pretrained(folder, state_dict=own)
        processor.save_pretrained(folder)
        write_log(log, folder, title)
        shutil.rmtree(Path(folder) / "checkpoints", ignore_errors=True)
        finish_output(folder, output)
        print(f"wrote {output}")
    accelerator.wait_for_everyone()
