"""YAML defaults, command-line overrides, and the sentence for an unknown key."""

import pytest

from modeling_unipt.common.user_errors import UserError
from unipt_train.engine.arguments import parse_arguments, require
from unipt_train.engine.run_arguments import PretrainArguments

PAPER = {
    "vision_model": "facebook/deit-small-patch16-224",
    "text_model": "google-bert/bert-base-uncased",
    "image_height": 384,
    "image_width": 128,
    "max_text_tokens": 100,
    "projection_dim": 768,
    "logit_scale": 1.0,
    "mlm_loss_weight": 1.0,
    "batch_size": 512,
    "epochs": 15.0,
    "max_steps": -1,
    "learning_rate": 1e-5,
    "weight_decay": 0.01,
    "warmup_ratio": 0.1,
    "scheduler": "linear",
}


def parse(tmp_path, text, *more):
    config = tmp_path / "config.yaml"
    config.write_text(text)
    return parse_arguments(PretrainArguments, "Doc.", ["--config", str(config), *more])


def test_yaml_sets_defaults_with_their_types(tmp_path):
    arguments = parse(tmp_path, "learning_rate: 1e-4\nbatch_size: 32\nrandom_init: true\nvision_model: a/b\n")
    assert arguments.learning_rate == 1e-4
    assert arguments.batch_size == 32
    assert arguments.random_init is True
    assert arguments.vision_model == "a/b"
    assert arguments.weight_decay == PretrainArguments.weight_decay


def test_command_line_wins_over_yaml(tmp_path):
    assert parse(tmp_path, "batch_size: 32\n", "--batch_size", "8").batch_size == 8


def test_unknown_key_is_named_with_the_nearest(tmp_path):
    with pytest.raises(UserError, match="unknown key 'learning_rte' .did you mean 'learning_rate'"):
        parse(tmp_path, "learning_rte: 1\n")


def test_a_value_that_is_no_choice_is_named_with_the_nearest(tmp_path):
    with pytest.raises(UserError, match="precision is 'bf6' .did you mean 'bf16'"):
        parse(tmp_path, "precision: bf6\n")


@pytest.mark.parametrize("text, message", [("a: [", "not valid YAML near line"), ("- a\n", "must hold 'key: value'")])
def test_malformed_yaml_is_one_sentence(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        parse(tmp_path, text)


def test_missing_yaml_is_one_sentence():
    with pytest.raises(UserError, match="nowhere.yaml cannot be read"):
        parse_arguments(PretrainArguments, "Doc.", ["--config", "nowhere.yaml"])


def test_a_missing_yaml_with_the_name_of_a_recipe_almost_is_told_which():
    with pytest.raises(UserError, match="did you mean 'pretrain_paper.yaml'"):
        parse_arguments(PretrainArguments, "Doc.", ["--config", "pretrain_papers.yaml"])


def test_a_bare_name_is_that_of_a_shipped_recipe_unless_such_a_file_is_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command = ["--config", "pretrain_paper.yaml"]
    assert parse_arguments(PretrainArguments, "Doc.", command).batch_size == 512
    with pytest.raises(UserError, match="configs/pretrain_paper.yaml cannot be read"):  # not bare
        parse_arguments(PretrainArguments, "Doc.", ["--config", "configs/pretrain_paper.yaml"])
    (tmp_path / "pretrain_paper.yaml").write_text("batch_size: 7\n")
    assert parse_arguments(PretrainArguments, "Doc.", command).batch_size == 7


def read_recipe(name):
    return parse_arguments(PretrainArguments, "Doc.", ["--config", name])


def test_the_full_size_recipe_is_the_papers():
    arguments = vars(read_recipe("pretrain_paper.yaml"))
    assert arguments | PAPER == arguments
    off = ("learnable_logit_scale", "centre_embeddings", "fresh_captions", "exclude_repeats", "weigh_negatives")
    off += ("mask_contrast", "attribute_loss_weight", "random_init", "muon_learning_rate", "max_grad_norm")
    assert not any(arguments[name] for name in off)


def test_the_full_size_best_recipe_differs_from_the_papers_by_the_options_of_the_tiny_one():
    best, paper, tiny = (vars(read_recipe(f"pretrain_{name}.yaml")) for name in ("best", "paper", "tiny_best"))
    different = {name for name in best if best[name] != paper[name]}
    assert different == {
        "logit_scale", "learnable_logit_scale", "fresh_captions", "exclude_repeats", "weigh_negatives",
        "mask_contrast", "attribute_loss_weight", "max_grad_norm",
    }  # fmt: skip
    assert {name: best[name] for name in different} == {name: tiny[name] for name in different}


def test_a_missing_option_is_named(tmp_path):
    with pytest.raises(UserError, match="--dataset is needed"):
        require(parse(tmp_path, "batch_size: 4\n"), "dataset")
