"""How a run claims its output: outputs of other versions are recognised by settings and their defaults."""

import json
from dataclasses import dataclass

import pytest

from modeling_unipt.common.user_errors import UserError
from unipt_train.engine.result import claim_output
from unipt_train.engine.run_arguments import PretrainArguments, RunArguments
from unipt_train.engine.set_up import make_accelerator


def claim(tmp_path, arguments):
    accelerator = make_accelerator("no", cpu=True)
    with claim_output(accelerator, str(tmp_path / "out"), arguments.settings(), arguments.defaults()) as folder:
        return folder


@pytest.fixture(params=["out", "out.partial"])
def written_without_some_options(request, tmp_path):
    """An output, complete or not, of a version that did not have all options of today, and had one more."""
    settings = PretrainArguments(dataset="x").settings()
    for name in ("mask_contrast", "attribute_loss_weight", "caption_recipe"):
        del settings[name]
    folder = tmp_path / request.param
    folder.mkdir()
    (folder / "build_settings.json").write_text(json.dumps(settings | {"of_another_version": None}))
    return folder


def test_an_output_that_lacks_new_options_is_recognised(written_without_some_options, tmp_path):
    folder = claim(tmp_path, PretrainArguments(dataset="x"))
    assert folder == (None if written_without_some_options.name == "out" else written_without_some_options)


def test_an_output_that_lacks_new_options_was_made_with_their_defaults(written_without_some_options, tmp_path):
    with pytest.raises(UserError, match='caption_recipe was "best" and is now "paper"'):
        claim(tmp_path, PretrainArguments(dataset="x", caption_recipe="paper"))


@pytest.fixture(params=["out", "out.partial"])
def written_by_0_2(request, tmp_path):
    """An output, complete or not, of the version whose weight decay took positions as well."""
    settings = PretrainArguments(dataset="x").settings()
    for name in ("decay_positions", "head_learning_rate", "logit_scale_learning_rate"):
        del settings[name]
    folder = tmp_path / request.param
    folder.mkdir()
    (folder / "build_settings.json").write_text(json.dumps(settings))
    return folder


def test_a_run_that_decayed_positions_is_gone_on_with_only_if_it_may_go_on_so(written_by_0_2, tmp_path):
    with pytest.raises(UserError, match="other settings: decay_positions was true and is now false"):
        claim(tmp_path, PretrainArguments(dataset="x"))
    folder = claim(tmp_path, PretrainArguments(dataset="x", decay_positions=True))
    assert folder == (None if written_by_0_2.name == "out" else written_by_0_2)


@pytest.mark.parametrize("decay_positions", [False, True])
def test_without_weight_decay_it_is_no_setting_what_decays(written_by_0_2, tmp_path, decay_positions):
    settings = json.loads((written_by_0_2 / "build_settings.json").read_text())
    (written_by_0_2 / "build_settings.json").write_text(json.dumps(settings | {"weight_decay": 0.0}))
    folder = claim(tmp_path, PretrainArguments(dataset="x", weight_decay=0.0, decay_positions=decay_positions))
    assert folder == (None if written_by_0_2.name == "out" else written_by_0_2)


def test_how_a_run_computes_is_no_setting(tmp_path):
    @dataclass
    class Arguments(RunArguments):
        output_dir: str | None = None

    folder = claim(tmp_path, Arguments())
    assert claim(tmp_path, Arguments(output_dir="elsewhere", chunk_size=4, num_workers=3, save_steps=1)) == folder
    with pytest.raises(UserError, match="was begun with other settings: seed was 0 and is now 1"):
        claim(tmp_path, Arguments(seed=1))


def test_two_runs_into_one_folder_cannot_run_at_once(tmp_path):
    arguments = PretrainArguments(dataset="x")
    accelerator = make_accelerator("no", cpu=True)
    claimed = accelerator, str(tmp_path / "out"), arguments.settings(), arguments.defaults()
    with claim_output(*claimed) as folder:
        with pytest.raises(UserError, match="another process is already writing .*/out; wait for it, or stop it first"):
            claim(tmp_path, arguments)
        assert folder.exists()
    assert claim(tmp_path, arguments) == folder
