"""An option that is given twice is refused by every command, whatever it is called the second time."""

import ast
import contextlib
import importlib

import pytest

from modeling_unipt import cli
from modeling_unipt.common.command_line import CommandParser
from modeling_unipt.common.user_errors import UserError
from tests.helpers.paths import ROOT

COMMANDS = {
    "dataset_builders.agreement": ["--dataset", "a", "b", "--truth", "t"],
    "dataset_builders.calibrate": ["--images", "a", "--truth", "t", "--scorer", "s"],
    "dataset_builders.import_luperson_t": ["--source", "a", "--output", "b"],
    "dataset_builders.luperson_t.options": ["--images", "a", "--scorer", "s", "--output", "o"],
    "dataset_builders.benchmarks.__main__": ["cuhk-pedes", "--source", "a", "--output", "b"],
    "dataset_builders.synthetic_pedestrians.__main__": ["--output", "a", "--identities", "3"],
    "dataset_builders.synthetic_pedestrians.oracle": ["--truth", "a", "--benchmark", "b"],
    "unipt_train.pretrain": ["--dataset", "a", "--output-dir", "b"],
    "unipt_train.finetune": ["--dataset", "a", "--output-dir", "b"],
    "unipt_train.evaluate_retrieval": ["--model", "m", "--dataset", "a"],
    "unipt_train.model_card": ["--model", "m", "--evaluation", "e"],
    "unipt_train.train_clip": ["--output-dir", "o", "--seed", "1"],
    "unipt_train.pointing_game": ["--model", "m", "--output", "o"],
    "unipt_train.demo": ["--seed", "1"],
    "unipt_train.demo_seeds": ["--output", "o"],
    "unipt_train.crop_recall": ["--output", "o"],
    "unipt_train.release": ["--work", "w"],
    "unipt_train.reproduce": ["--output", "o"],
    "unipt_train.build_tokenizers": ["--bert", "o"],
    "unipt_train.bench": ["--output", "o"],
    "unipt_train.studies.fewer_templates": ["--output", "o"],
    "unipt_train.studies.mix_encoders": ["--output", "o"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_takes_an_option_twice(name):
    module = importlib.import_module(name)
    words = COMMANDS[name]
    main = getattr(module, "main", None) or module.parse
    option = next(word for word in reversed(words) if word.startswith("--"))
    with pytest.raises(UserError, match=f"^{option} is given twice, and one of the two would be ignored; give it once"):
        main([*words, option, "5"])


def test_a_sub_command_of_unipt_takes_an_option_once(capsys):
    """This program ends by itself, with the sentence."""
    for words in (["search", "gallery", "a man", "--top-k", "3"], ["index", "crops", "--output", "o"]):
        with pytest.raises(SystemExit) as stop:
            cli.main([*words, words[-2], "4"])
        assert stop.value.code == 2 and capsys.readouterr().err.startswith(f"error: {words[-2]} is given twice")


def parse(*words):
    parser = CommandParser()
    parser.add_argument("--top-k", "--top_k", type=int)
    parser.add_argument("--flag", dest="flag", action="store_true")
    parser.add_argument("--no-flag", dest="flag", action="store_false")
    parser.add_argument("--where", action="append")
    parser.add_argument("--dataset", nargs="+")
    parser.add_argument("words", nargs="*")
    return parser.parse_args(words)


@pytest.mark.parametrize(
    "words",
    [
        ["--top-k", "3", "--top-k", "3"],
        ["--top-k=3", "--top-k", "4"],
        ["--top-k", "3", "--top_k", "4"],
        ["--data", "a", "--dataset", "b"],
        ["--flag", "--flag"],
        ["--flag", "--no-flag"],
        ["--dataset", "a", "--flag", "--dataset", "b"],
        ["--dataset", "a", "--dataset", "a"],
    ],
)
def test_two_spellings_of_one_option_are_the_same_option(words):
    with pytest.raises(UserError, match="is given twice"):
        parse(*words)


def test_several_values_belong_behind_one_name():
    with pytest.raises(UserError, match="with all of its values behind it: --dataset A B"):
        parse("--dataset", "a", "--dataset", "b")


def test_what_collects_its_values_may_come_again_and_so_may_positional_words():
    found = parse("a", "--where", "x", "--where", "y", "--top-k", "-3")
    assert (found.where, found.words, found.top_k) == (["x", "y"], ["a"], -3)


def test_a_parser_counts_anew_each_time():
    parser = CommandParser()
    parser.add_argument("--top-k")
    assert [parser.parse_args(["--top-k", value]).top_k for value in "12"] == ["1", "2"]


def test_a_sub_command_and_its_parent_count_apart():
    parser = CommandParser()
    parser.add_argument("--top-k")
    command = parser.add_subparsers().add_parser("search")
    command.add_argument("--image")
    assert parser.parse_args(["--top-k", "1", "search", "--image", "a"]).image == "a"
    with pytest.raises(UserError, match="--image is given twice"):
        parser.parse_args(["search", "--image", "a", "--image", "b"])


def test_help_still_ends_a_command():
    with pytest.raises(SystemExit) as stop, contextlib.redirect_stdout(None):
        parse("--help")
    assert stop.value.code == 0


def test_every_parser_of_this_project_is_such_a_one():
    """A plain parser of argparse is made nowhere but where its result is parsed once more by one of ours."""
    plain = []
    for room in ("modeling_unipt", "dataset_builders", "train", "space"):
        for path in sorted((ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
                    ("ArgumentParser", "HfArgumentParser")
                ):
                    plain.append(str(path.relative_to(ROOT)))
    assert plain == ["train/engine/arguments.py"]
