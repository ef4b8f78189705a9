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

CHECKPOINTS_KEPT = 2
NOT_PART_OF_THE_RESULT = {"output_dir", "num_workers", "save_steps", "log_steps", "cpu"}


def pick_precision(wanted):
    """Resolve ``auto`` to ``bf16`` where GPU or CPU computes in it natively, else to ``no``."""
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    return "bf16" if torch.ops.mkldnn._is_mkldnn_bf16_supported() else "no"


def set_attention(model, implementation):
    """Have ``model`` compute attention by ``implementation``; a UserError says why that cannot be done here."""
    try:
        model.set_attn_implementation(implementation)
    except (ImportError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"--attn_implementation {implementation} cannot be used here: {reason}") from None


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


def use_all_cores(accelerator):
    """Compute with this process's share of the cores; ``accelerate launch`` would leave it a single thread."""
    if accelerator.device.type == "cpu":
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        torch.set_num_threads(max(1, cores // accelerator.num_processes))


def run_training(
    accelerator,
    model,
    optimizers,
    schedulers,
    dataset,
    collator,
    compute_loss,
    arguments,
    folder,
    after_step=None,
    sampler=EpochBatches,
):
    """Train for ``arguments.max_steps`` steps, going on from the newest whole checkpoint below ``folder`` if any.

    Args:
        compute_loss: (model, batch) -> dict of scalar tensors, of which "loss" is minimised and all are logged.
        arguments: has max_steps, batch_size (global), seed, num_workers, save_steps, log_steps, max_grad_norm.
        folder: the work folder; checkpoints go to ``folder/checkpoints``.
        after_step (*optional*): (step, model) -> numbers to log for this step, a dict, or None.
        sampler: `EpochBatches`, or what is called and behaves like it.
    Returns:
        The log, a list of {"step", "samples_per_second", "learning_rate", loss names...}.
    Raises:
        UserError: the loss is no longer finite (names the step; the checkpoints stay).
    """
    use_all_cores(accelerator)
    checkpoints = Path(folder) / "checkpoints"
    model = accelerator.prepare(model)
    optimizers = [accelerator.prepare(optimizer) for optimizer in optimizers]
    schedulers = [accelerator.prepare(scheduler) for scheduler in schedulers]
    step, log = 0, []
    found = _checkpoints(checkpoints)
    if found:
        accelerator.load_state(str(found[-1]))
        step = int(found[-1].name.removeprefix("step-"))
        log = json.loads((found[-1] / "log.json").read_text(encoding="utf-8"))
        accelerator.print(f"resuming at step {step} from {found[-1]}")

    batches = sampler(len(dataset), arguments.batch_size, arguments.seed, step, arguments.max_steps)
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
    bar = tqdm(total=arguments.max_steps, initial=step, unit="step", disable=not accelerator.is_main_process)
    since, since_step, sums = time.perf_counter(), step, {}
    for batch in loader:
        # Dropout and drawn negatives follow from the step alone, so that a resumed run repeats an uninterrupted one.
        torch.manual_seed((arguments.seed * 1_000_003 + step) * 1_009 + accelerator.process_index)
        losses = compute_loss(model, batch)
        accelerator.backward(losses["loss"])
        if arguments.max_grad_norm:
            accelerator.clip_grad_norm_(model.parameters(), arguments.max_grad_norm)
        for part in (*optimizers, *schedulers):
            part.step()
        for optimizer in optimizers:
            optimizer.zero_grad()
        step += 1
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + value.detach().float()
        bar.update()
        elapsed, steps = time.perf_counter() - since, step - since_step
        measured = after_step(step, model) if after_step else None
        if step % arguments.log_steps == 0 or step == arguments.max_steps or measured:
            means = {name: round(float(value) / steps, 6) for name, value in sums.items()}
            if not math.isfinite(means["loss"]):
                raise UserError(
                    f"the loss became {means['loss']} by step {step}; the checkpoints in {checkpoints} are kept; "
                    "lower the learning rate or set --precision no"
                )
            rate = steps * batches.batch_size / elapsed
            log.append(
                {
                    "step": step,
                    **means,
                    **(measured or {}),
                    "learning_rate": schedulers[0].get_last_lr()[0],
                    "samples_per_second": round(rate, 1),
                }
            )
            bar.set_postfix({name: f"{value:.3f}" for name, value in means.items()} | {"samples/s": f"{rate:.0f}"})
            since, since_step, sums = time.perf_counter(), step, {}
        if arguments.save_steps and step % arguments.save_steps == 0 and step < arguments.max_steps:
            _save_checkpoint(accelerator, checkpoints, step, log)
    bar.close()
    return log


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
    settings = {k: v for k, v in dataclasses.asdict(arguments).items() if k not in NOT_PART_OF_THE_RESULT} | more
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


def save_result(accelerator, model, processor, log, title, folder, output):
    """Write model, processor, log and curve into ``folder``, drop its checkpoints and rename it to ``output``."""
    if accelerator.is_main_process:
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
        write_log(log, folder, title)
        shutil.rmtree(Path(folder) / "checkpoints", ignore_errors=True)
        finish_output(folder, output)
        print(f"wrote {output}")
    accelerator.wait_for_everyone()
