"""YAML defaults, command-line overrides, and the sentence for an unknown key."""

import pytest

from arguments import parse_arguments, require
from modeling_unipt.user_errors import UserError
from pretrain import PretrainArguments


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
    with pytest.raises(UserError, match="unknown key 'learning_rte'; the nearest valid one is 'learning_rate'"):
        parse(tmp_path, "learning_rte: 1\n")


def test_a_value_that_is_no_choice_is_named_with_the_nearest(tmp_path):
    with pytest.raises(UserError, match="precision is 'bf6'; the nearest valid one is 'bf16'"):
        parse(tmp_path, "precision: bf6\n")


@pytest.mark.parametrize("text, message", [("a: [", "not valid YAML near line"), ("- a\n", "must hold 'key: value'")])
def test_malformed_yaml_is_one_sentence(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        parse(tmp_path, text)


def test_missing_yaml_is_one_sentence():
    with pytest.raises(UserError, match="nowhere.yaml cannot be read"):
        parse_arguments(PretrainArguments, "Doc.", ["--config", "nowhere.yaml"])


def test_a_missing_option_is_named(tmp_path):
    with pytest.raises(UserError, match="--dataset is needed"):
        require(parse(tmp_path, "batch_size: 4\n"), "dataset")
