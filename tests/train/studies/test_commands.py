"""The project's own commands: how they are shown, and where they can run."""

import pytest

from modeling_unipt.common.user_errors import UserError
from unipt_train import bench, demo, demo_seeds, pointing_game, release, reproduce
from unipt_train.studies import commands


def test_a_command_is_shown_as_a_person_would_type_it():
    train = [*commands.LAUNCH, "train/pretrain.py", "--seed", 3, "--output-dir", "a folder"]
    assert commands.command_line(train) == "accelerate launch --cpu train/pretrain.py --seed 3 --output-dir 'a folder'"
    rendered = commands.render_people("people", identities=5, views=2, seed=7)
    assert commands.command_line(rendered) == (
        "python -m dataset_builders.synthetic_pedestrians --output people --identities 5 --views 2 --seed 7 "
        "--layout images"
    )


@pytest.mark.parametrize("script", [bench, demo, demo_seeds, pointing_game, release, reproduce])
def test_commands_that_need_the_clone_say_so_in_an_installed_wheel(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(commands, "ROOT", tmp_path)
    with pytest.raises(UserError, match="needs a clone of the repository"):
        script.main([])
    assert not list(tmp_path.iterdir())
