"""What a training run computes with: its accelerator, and its model as the options ask for."""

import os

import torch
from accelerate import Accelerator, DataLoaderConfiguration
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers
from transformers import PreTrainedModel

from modeling_unipt.common.parallel import usable_cores
from modeling_unipt.common.user_errors import UserError, first_line
from unipt_train.engine.launching import LAUNCHED_BY_ACCELERATE, check_ranks, stays_on_cpu
from unipt_train.engine.precision import convolve_in_float32, precision_to_start_with


def make_accelerator(
    precision: str,
    cpu: bool = False,
    torch_compile: bool = False,
    report_to: str = "none",
    output_dir: str | None = None,
    threads: int | None = None,
) -> Accelerator:
    """The accelerator of a run.

    Args:
        precision: see :func:`unipt_train.engine.precision.precision_to_start_with`.
        cpu: whether to stay on the CPU even where there is a GPU.
        torch_compile: whether to compile what is prepared.
        report_to: name of a tracker of Accelerate, or "none".
        output_dir: folder of the run; a tracker needs one.
        threads: see :func:`set_threads`.

    Raises:
        UserError: the tracker is unknown or its package is not installed, or the launcher was asked for what cannot be
            had (see :mod:`unipt_train.engine.launching`).
    """
    cpu = stays_on_cpu(cpu)
    accelerator = Accelerator(
        cpu=cpu,
        mixed_precision=precision_to_start_with(precision, cpu),
        # The sampler gives batches of all processes, of which each takes its share.
        dataloader_config=DataLoaderConfiguration(split_batches=True),
        dynamo_backend="inductor" if torch_compile else None,
        log_with=_tracker(report_to),
        # Trackers that write files refuse to be named without a folder; start_tracking gives them the right one.
        project_dir=output_dir,
    )
    check_ranks(accelerator)
    if accelerator.device.type == "cuda":
        # TensorFloat-32 for what stays in float32: its range, 10 bits of precision, several times its speed.
        torch.set_float32_matmul_precision("high")
    if accelerator.device.type == "cpu":
        set_threads(threads)
    return accelerator


def _tracker(name: str) -> str | None:
    if name == "none":
        return None
    if name not in LOGGER_TYPE_TO_CLASS:
        raise UserError(
            f"--report-to {name} is no tracker; valid ones: none, {', '.join(sorted(LOGGER_TYPE_TO_CLASS))}"
        )
    # Accelerate lists some trackers as text and some as members of an enumeration.
    installed = [str(getattr(tracker, "value", tracker)) for tracker in get_available_trackers()]
    if name not in installed:
        raise UserError(f"--report-to {name} needs the package of that name: install it, or say --report-to none")
    return name


def set_threads(threads: int | None) -> None:
    """Compute with this number of threads on the CPU.

    Args:
        threads: None takes OMP_NUM_THREADS where no launcher can have set it, and else this process's share of the
            cores. ``accelerate launch`` always sets that variable, and torchrun for more than one process.
    """
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    by_launcher = LAUNCHED_BY_ACCELERATE in os.environ or processes > 1
    if threads is None and "OMP_NUM_THREADS" in os.environ and not by_launcher:
        # torch has read it.
        return
    share = max(1, len(usable_cores()) // processes)
    torch.set_num_threads(threads or share)


def set_up_model(model: PreTrainedModel, attn_implementation: str, gradient_checkpointing: bool = False) -> None:
    """Have a model compute as a run wants it.

    Args:
        model: is changed in place.
        attn_implementation: how attention is computed: "sdpa", "eager" or "flash_attention_2".
        gradient_checkpointing: whether to keep fewer activations and compute them again.

    Raises:
        UserError: the wanted attention cannot be used here.
    """
    try:
        model.set_attn_implementation(attn_implementation)
    except (ImportError, ValueError) as error:
        raise UserError(
            f"--attn-implementation {attn_implementation} cannot be used here: {first_line(error)}"
        ) from None
    if gradient_checkpointing:
        # The reentrant variant of torch finds no gradients where the inputs, tokens, need none.
        model.gradient_checkpointing_enable({"use_reentrant": False})
    convolve_in_float32(model)
