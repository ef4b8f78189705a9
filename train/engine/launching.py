"""What a launcher was asked for: it is done, or refused in one sentence by every process, before anything is written.

``torchrun`` tells each process in WORLD_SIZE how many there are. Accelerate listens to that only where it has a GPU for
each process, or is told to stay on the CPU; otherwise every process takes itself for the only one.

``accelerate launch`` starts several processes for several GPUs only, and else a single one, whatever number it was
given. Its environment does not tell that number. It sets MASTER_ADDR where the number is more than one, but the jobs of
many clusters set it as well. So that variable is the reason to look at the launcher's own command line, which tells.
"""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import torch
from accelerate import Accelerator
from accelerate.commands.config.config_args import default_config_file, load_config_from_file
from accelerate.commands.launch import launch_command_parser

from dataset_builders.output.shards import find_team
from modeling_unipt.common.user_errors import UserError

# A variable that `accelerate launch` always sets, and that nobody else would.
LAUNCHED_BY_ACCELERATE = "ACCELERATE_DYNAMO_MODE"
# How `accelerate launch` is started, each by the words of a command line.
LAUNCHERS = (
    ("accelerate", "launch"),
    ("accelerate-launch",),
    ("accelerate.commands.launch",),
    ("accelerate.commands.accelerate_cli", "launch"),
)


def stays_on_cpu(cpu: bool) -> bool:
    """Whether this run computes on the CPU: because it must, or because several processes share no GPU.

    Args:
        cpu: whether ``--cpu true`` was given.

    Raises:
        UserError: the launcher was asked for what this machine or this training cannot do, or what it has not done.
    """
    processes = find_team().size
    by_accelerate = LAUNCHED_BY_ACCELERATE in os.environ
    cpu = cpu or _is_set("ACCELERATE_USE_CPU")
    gpus = _count_gpus()
    for name, title in (("DEEPSPEED", "DeepSpeed"), ("MEGATRON_LM", "Megatron-LM")):
        if _is_set(f"ACCELERATE_USE_{name}"):
            raise UserError(f"{title} cannot train this model; launch without it, or with FSDP to share a large model")
    if _is_set("ACCELERATE_USE_FSDP") and (cpu or not gpus):
        raise UserError(
            f"FSDP shares a model among GPUs, and this run has none; on the CPU type: {_torchrun(processes, gpus)}"
        )
    if processes == 1 or cpu:
        return cpu
    if not gpus and by_accelerate:
        raise UserError(
            f"accelerate launch was told to use {processes} GPUs, and there is none here; on the CPU type: "
            f"{_torchrun(processes, gpus)}"
        )
    of_this_machine = int(os.environ.get("LOCAL_WORLD_SIZE", processes))
    if gpus and of_this_machine > gpus:
        raise UserError(
            f"{of_this_machine} processes were started on this machine, which has {gpus} GPU(s); start one for each "
            "GPU, or give --cpu true"
        )
    return not gpus


def check_ranks(accelerator: Accelerator) -> None:
    """Refuse to train in fewer processes than the launcher was asked for, or apart from those that it has started.

    Raises:
        UserError: the accelerator has another number of processes.
    """
    processes = find_team().size
    if accelerator.num_processes != processes:
        raise UserError(
            f"WORLD_SIZE says that there are {processes} processes, and Accelerate finds {accelerator.num_processes}, "
            f"so each would train alone; type: {_torchrun(processes, _count_gpus())}"
        )
    if processes > 1 or LAUNCHED_BY_ACCELERATE not in os.environ or "MASTER_ADDR" not in os.environ:
        return
    asked, machines = _processes_asked_for()
    if asked > 1:
        raise UserError(
            f"accelerate launch was told to start {asked} processes and has started one, because it shares only GPUs "
            f"among processes; type: {_torchrun(asked, _count_gpus(), machines)}"
        )


def check_shares(batch_size: int, processes: int) -> None:
    """Refuse a batch that the processes cannot share evenly.

    Raises:
        UserError: ``batch_size`` is no multiple of ``processes``.
    """
    if batch_size % processes:
        raise UserError(
            f"a batch of {batch_size} cannot be shared evenly by {processes} processes; choose another --batch-size"
        )


def _is_set(name: str) -> bool:
    return os.environ.get(name, "").lower() in ("1", "true", "yes")


def _count_gpus() -> int:
    """GPUs of which each process can have its own. Apple's is none: Accelerate starts a single process for it."""
    device = torch.accelerator.current_accelerator(check_available=True)
    return 0 if device is None or device.type == "mps" else torch.accelerator.device_count()


def _processes_asked_for() -> tuple[int, int]:
    """The numbers of processes and machines that the ``accelerate launch`` above this process was given; 1 if none."""
    try:
        for process in psutil.Process().parents():
            words = launcher_words(process.cmdline())
            if words is not None:
                return numbers_given(words)
    except psutil.Error:
        # The launcher has gone, or belongs to somebody else: it cannot be asked.
        pass
    return 1, 1


def launcher_words(command: Sequence[str]) -> list[str] | None:
    """The words that follow ``accelerate launch`` in a command line, or None if that is another command."""
    names = [Path(word).name.removesuffix(".exe") for word in command]
    for launcher in LAUNCHERS:
        for start in range(len(names) - len(launcher) + 1):
            if tuple(names[start : start + len(launcher)]) == launcher:
                return list(command[start + len(launcher) :])
    return None


def numbers_given(words: Sequence[str]) -> tuple[int, int]:
    """The numbers of processes and machines in the words after ``accelerate launch`` or in their configuration file."""
    launched = launch_command_parser().parse_args(words)
    processes = launched.num_processes
    machines = launched.num_machines
    # The same files that the launcher has read.
    if launched.config_file is not None or (os.path.isfile(default_config_file) and not launched.cpu):
        configured = load_config_from_file(launched.config_file)
        processes = processes or configured.num_processes
        machines = machines or configured.num_machines
    return processes or 1, machines or 1


def _torchrun(processes: int, gpus: int, machines: int = 1) -> str:
    """This very command, started by torchrun as ranks on the CPU."""
    options = ["--nproc-per-node", str(processes // machines)]
    if machines > 1:
        options += ["--nnodes", str(machines), "--node-rank", "RANK", "--master-addr", "ADDRESS"]
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    program = ["-m", spec.name] if spec else [sys.argv[0]]
    command = ["torchrun", *options, *program, *sys.argv[1:]]
    # Without a GPU ranks stay on the CPU by themselves.
    return shlex.join([*command, "--cpu", "true"] if gpus else command)
