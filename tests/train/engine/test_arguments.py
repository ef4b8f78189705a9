"""YAML defaults, command-line overrides, and the sentence for an unknown key."""

import os
from dataclasses import dataclass

import pytest

from modeling_unipt.common.user_errors import UserError
from tests.helpers.paths import ROOT
from unipt_train.engine.arguments import option, parse_arguments, part_of, require
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


# build_settings.json of version 0.1, written in the root of the clone by
# python train/pretrain.py --config train/configs/pretrain_tiny.yaml --dataset luperson-t --max_steps 2 --batch_size 32
WRITTEN_BY_0_1 = {
    "attn_implementation": "eager", "attribute_loss_weight": 0.0, "attributes": None, "batch_size": 32,
    "caption_recipe": "best", "centre_embeddings": True, "dataset": "luperson-t", "epochs": 15,
    "exclude_repeats": False, "fresh_captions": False, "image_height": 192, "image_width": 64,
    "learnable_logit_scale": True, "learning_rate": 0.001, "logit_scale": 14.3, "mask_contrast": False,
    "max_grad_norm": 1.0, "max_steps": 2, "max_text_tokens": 100, "mlm_loss_weight": 1.0, "muon_learning_rate": 0.02,
    "precision": "no", "projection_dim": 192, "random_init": True, "scheduler": "cosine", "seed": 0, "split": "train",
    "text_model": "train/configs/bert-tiny", "vision_model": "train/configs/vit-tiny", "warmup_ratio": 0.05,
    "weigh_negatives": False, "weight_decay": 0.01,
}  # fmt: skip


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


@pytest.mark.parametrize(
    "text, message",
    [
        ("batch_size: 8\nseed: 1\nbatch_size: 9\n", "the key 'batch_size' stands there twice, again in line 3"),
        ("batch_size: [8, 9]\n", "batch_size takes one value, not .8, 9."),
        ("batch_size: {a: 8}\n", "batch_size takes one value, not {'a': 8}"),
        ("dataset_weights: [1, many]\n", "dataset_weights cannot be 'many'"),
        ("dataset: [a, null]\n", "dataset cannot be None"),
        ("dataset: [[a]]\n", "dataset cannot be ..a.."),
    ],
)
def test_a_value_that_would_be_half_ignored_is_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        parse(tmp_path, text)


def test_a_yaml_file_in_another_encoding_is_one_sentence(tmp_path):
    (tmp_path / "config.yaml").write_bytes("dataset: M\u00fcnchen\n".encode("latin-1"))
    with pytest.raises(UserError, match="is not a text file in UTF-8"):
        parse_arguments(PretrainArguments, "Doc.", ["--config", str(tmp_path / "config.yaml")])


def test_an_option_of_several_values_takes_one_or_several_from_yaml(tmp_path):
    arguments = parse(tmp_path, "dataset: a\ndataset_weights: [3, 1e-1]\n")
    assert (arguments.dataset, arguments.dataset_weights) == (["a"], [3.0, 0.1])
    assert parse(tmp_path, "dataset: [a, b]\n").dataset == ["a", "b"]
    assert parse(tmp_path, "dataset: [a, b]\n", "--dataset", "c").dataset == ["c"]


def test_one_data_set_is_recorded_as_version_0_3_did(tmp_path):
    assert parse(tmp_path, "dataset: a\n").settings()["dataset"] == "a"
    assert parse(tmp_path, "dataset: [a, b]\n").settings()["dataset"] == ["a", "b"]
    assert parse(tmp_path, "").settings()["dataset"] is None


@pytest.mark.parametrize("words", ["--batch-size 8 --batch_size 8", "--random-init --random-init false"])
def test_an_option_given_twice_is_refused(words):
    with pytest.raises(UserError, match="is given twice"):
        parse_arguments(PretrainArguments, "Doc.", words.split())


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
        "mask_contrast", "attribute_loss_weight", "max_grad_norm", "head_learning_rate", "logit_scale_learning_rate",
    }  # fmt: skip
    # The tiny model is new as a whole: all of it has the rate that the scale has in the full-size recipe.
    tiny["logit_scale_learning_rate"] = tiny["learning_rate"]
    of_rates = {"head_learning_rate"}
    assert {name: best[name] for name in different - of_rates} == {name: tiny[name] for name in different - of_rates}


def test_a_missing_option_is_named(tmp_path):
    with pytest.raises(UserError, match="--dataset is needed"):
        require(parse(tmp_path, "batch_size: 4\n"), "dataset")


def test_a_part_of_the_arguments_has_the_fields_of_a_small_dataclass(tmp_path):
    @dataclass(frozen=True)
    class Size:
        max_text_tokens: int
        batch_size: int

    assert part_of(parse(tmp_path, "batch_size: 4\n"), Size) == Size(100, 4)


@dataclass
class Names:
    """A command that reads models and a dataset, and writes."""

    model: list[str] | None = option(None, "some models")
    dataset: str | None = option(None, "a dataset")
    output_dir: str | None = option(None, "a folder to write")
    split: str | None = option(None, "a split")


@pytest.fixture
def read_names(tmp_path, monkeypatch):
    """A function of the text of a YAML file to its arguments; the file lies beside folders a, b and train, and the
    current folder, which has a folder b too, is another one."""
    for name in ("recipes/a", "recipes/b", "recipes/train", "here/b"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")

    def read(text, *more, config="../recipes/names.yaml"):
        (tmp_path / "recipes" / "names.yaml").write_text(text)
        return parse_arguments(Names, "Doc.", ["--config", config, *more])

    return read


def test_a_name_in_a_yaml_file_means_what_lies_beside_it(read_names, tmp_path):
    recipes = tmp_path / "recipes"
    assert read_names("dataset: a\n").dataset == str(recipes / "a")
    assert read_names("model: [a, b]\n").model == [str(recipes / "a"), str(recipes / "b")]


@pytest.mark.parametrize("name", ["unipt/unipt-tiny", "../here/b", "/nowhere/a"])
def test_other_names_in_a_yaml_file_stay_as_they_are(read_names, name):
    assert read_names(f"dataset: {name}\n").dataset == name


def test_only_what_is_read_is_looked_for_beside_a_yaml_file(read_names):
    arguments = read_names("output_dir: a\nsplit: train\n")
    assert (arguments.output_dir, arguments.split) == ("a", "train")


def test_a_name_on_the_command_line_means_what_lies_in_the_current_folder(read_names):
    assert read_names("dataset: a\n", "--dataset", "b").dataset == "b"


def test_below_the_current_folder_a_name_is_relative_to_it(read_names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_names("dataset: a\n", config="recipes/names.yaml").dataset == os.path.join("recipes", "a")
    monkeypatch.chdir(tmp_path / "recipes")
    assert read_names("dataset: ./a\n", config="names.yaml").dataset == "./a"
    (tmp_path / "recipes" / "link").symlink_to(tmp_path / "recipes" / "a")
    assert read_names("dataset: link\n", config=str(tmp_path / "recipes" / "names.yaml")).dataset == "link"


@pytest.mark.parametrize("config", ["pretrain_tiny.yaml", "train/configs/pretrain_tiny.yaml"])
def test_in_the_clone_a_recipe_has_the_settings_that_it_had_in_version_0_1(config, monkeypatch):
    monkeypatch.chdir(ROOT)
    options = ["--dataset", "luperson-t", "--max_steps", "2", "--batch_size", "32", "--precision", "no"]
    arguments = parse_arguments(PretrainArguments, "Doc.", ["--config", config, *options])
    settings = arguments.settings()
    assert {name: settings[name] for name in WRITTEN_BY_0_1} == WRITTEN_BY_0_1
    # What version 0.1 did not write counts as what it did. That is what a run does today, but for one thing.
    counts_as = arguments.defaults()
    assert [name for name in settings if name not in WRITTEN_BY_0_1 and settings[name] != counts_as[name]] == [
        "decay_positions"
    ]


def test_elsewhere_a_recipe_finds_its_encoders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert read_recipe("pretrain_tiny.yaml").vision_model == str(ROOT / "train" / "configs" / "vit-tiny")
