"""Running the project's own commands one after the other, each announced before and timed after."""

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

from modeling_unipt.common.user_errors import UserError

ROOT = Path(__file__).parents[2]
PYTHON = [sys.executable]
LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--cpu"]
RENDER = [*PYTHON, "-m", "dataset_builders.synthetic_pedestrians"]


def command_line(command):
    """A command as a person would type it."""
    words = ["python" if part == sys.executable else str(part) for part in command]
    return shlex.join(words).replace("python -m accelerate.commands.launch", "accelerate launch")


def run_stages(stages):
    """Run a list of (title, explanation, command) from the clone's root; a complete stage leaves its output alone.

    Raises:
        UserError: a command failed (it has said why).
    """
    environment = os.environ | {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    for number, (title, explanation, command) in enumerate(stages, 1):
        begun = time.perf_counter()
        print(f"\n[{number}/{len(stages)}] {title}. {explanation}\n      $ {command_line(command)}", flush=True)
        finished = subprocess.run([str(part) for part in command], cwd=ROOT, env=environment)
        if finished.returncode:
            raise UserError(f"stage '{title}' failed with exit status {finished.returncode}; what it said is above")
        print(f"      {time.perf_counter() - begun:.0f} s", flush=True)
