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
    return claim_output(accelerator, str(tmp_path / "out"), arguments.settings(), arguments.defaults())


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


def test_how_a_run_computes_is_no_setting(tmp_path):
    @dataclass
    class Arguments(RunArguments):
        output_dir: str | None = None

    folder = claim(tmp_path, Arguments())
    assert claim(tmp_path, Arguments(output_dir="elsewhere", chunk_size=4, num_workers=3, save_steps=1)) == folder
    with pytest.raises(UserError, match="was begun with other settings: seed was 0 and is now 1"):
        claim(tmp_path, Arguments(seed=1))
