"""The command ``python -m dataset_builders.luperson_t``."""

from modeling_unipt.common.user_errors import run_command

from .build import main

if __name__ == "__main__":
    run_command(main)
