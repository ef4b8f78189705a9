"""What pre-training and fine-tuning have in common on the command line: how a run computes, saves and reports."""

from dataclasses import dataclass, field
from typing import Literal

from modeling_unipt.common.parallel import usable_cores
from modeling_unipt.common.user_errors import UserError
from unipt_train.engine.precision import has_native_bfloat16


@dataclass
class RunArguments:
    chunk_size: int = field(
        default=0,
        metadata={
            "help": "pairs in one forward pass of a process, 0: all of its share; the losses stay those of the batch"
        },
    )
    scheduler: str = field(default="linear", metadata={"help": "transformers schedule after warm-up, to 0"})
    warmup_ratio: float = field(default=0.1, metadata={"help": "share of the steps with a rising rate"})
    max_grad_norm: float = field(default=1.0, metadata={"help": "0: no clipping"})
    precision: Literal["auto", "no", "bf16", "fp16"] = field(
        default="auto", metadata={"help": "auto: bf16 where it is native"}
    )
    attn_implementation: Literal["sdpa", "eager", "flash_attention_2"] = field(
        default="sdpa", metadata={"help": "how attention is computed; eager trains small models faster on a CPU"}
    )
    gradient_checkpointing: bool = field(
        default=False, metadata={"help": "keep fewer activations and compute them again: less memory, slower"}
    )
    torch_compile: bool = field(
        default=False, metadata={"help": "compile the model by torch.compile: a slow start, then faster on GPUs"}
    )
    cpu: bool = field(default=False, metadata={"help": "stay on the CPU even where there is a GPU"})
    seed: int = field(default=0, metadata={"help": "of every random choice: new weights, order, flips, dropout, ..."})
    num_workers: int = field(default=1, metadata={"help": "processes that load data, for each training process"})
    save_steps: int = field(default=500, metadata={"help": "steps between checkpoints; 0: none"})
    log_steps: int = field(default=20, metadata={"help": "steps between lines of the log"})
    report_to: str = field(
        default="tensorboard", metadata={"help": "a tracker of Accelerate, or none; all goes to training_log.json too"}
    )

    def __post_init__(self):
        if self.chunk_size < 0:
            raise UserError(f"--chunk_size {self.chunk_size} must not be negative")


TRACKING = "tracking"  # the folder of a tracker that writes files
# What may change when a killed run is resumed.
HOW_IT_RUNS = {"output_dir", "chunk_size", "gradient_checkpointing", "torch_compile", "cpu", "num_workers"}
HOW_IT_RUNS |= {"save_steps", "log_steps", "report_to"}


def pick_precision(wanted, cpu=False):
    """Resolve ``auto`` to ``bf16`` where GPU or CPU computes in it natively, else to ``fp16`` or ``no``.

    Args:
        cpu: whether the run stays on the CPU even where there is a GPU.
    """
    import torch

    if wanted != "auto":
        return wanted
    if torch.cuda.is_available() and not cpu:
        return "bf16" if has_native_bfloat16("cuda") else "fp16"
    return "bf16" if has_native_bfloat16("cpu") else "no"


def use_all_cores(accelerator):
    """Compute with this process's share of the cores; ``accelerate launch`` would leave it a single thread."""
    import torch

    if accelerator.device.type == "cpu":
        torch.set_num_threads(max(1, len(usable_cores()) // accelerator.num_processes))


def _tracker(name):
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    if name == "none":
        return None
    if name not in LOGGER_TYPE_TO_CLASS:
        raise UserError(
            f"--report_to {name} is no tracker; valid ones: none, {', '.join(sorted(LOGGER_TYPE_TO_CLASS))}"
        )
    if name not in [str(getattr(each, "value", each)) for each in get_available_trackers()]:
        raise UserError(f"--report_to {name} needs the package of that name: install it, or say --report_to none")
    return name


def make_accelerator(arguments):
    """The `accelerate.Accelerator` of a run.

    Raises:
        UserError: an unknown tracker or one that is not installed.
    """
    from accelerate import Accelerator, DataLoaderConfiguration

    accelerator = Accelerator(
        cpu=arguments.cpu,
        mixed_precision=pick_precision(arguments.precision, arguments.cpu),
        dataloader_config=DataLoaderConfiguration(split_batches=True),
        dynamo_backend="inductor" if arguments.torch_compile else None,
        log_with=_tracker(arguments.report_to),
        project_dir=arguments.output_dir,
    )
    use_all_cores(accelerator)
    return accelerator


def set_up_model(model, arguments):
    """Have a transformers model compute as the ``arguments`` say.

    Raises:
        UserError: the wanted attention cannot be used here.
    """
    try:
        model.set_attn_implementation(arguments.attn_implementation)
    except (ImportError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"--attn_implementation {arguments.attn_implementation} cannot be used here: {reason}"
        ) from None
    if arguments.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    convolve_in_float32(model)


def convolve_in_float32(model):
    """Have a model cut its patches in float32 on a CPU: bfloat16 takes up to twice as long there, mostly backward."""
    import torch

    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.forward = torch.autocast("cpu", enabled=False)(module.forward)


def make_schedulers(optimizers, arguments):
    """The learning-rate schedule of each optimizer, over ``arguments.max_steps`` steps.

    Raises:
        UserError: unknown schedule.
    """
    from transformers import get_scheduler

    warmup = int(arguments.warmup_ratio * arguments.max_steps)
    try:
        return [get_scheduler(arguments.scheduler, each, warmup, arguments.max_steps) for each in optimizers]
    except ValueError as error:
        raise UserError(f"--scheduler {arguments.scheduler} cannot be used: {str(error).splitlines()[0]}") from None
