"""Template files: which are refused, and with which words."""

import pytest

from dataset_builders.combine.templates import load_templates
from modeling_unipt.common.user_errors import UserError

# (what stands in the file, what replaces it, the complaint)
WRONG_FOR_PAPER = [
    ("count: 456", "count: 455", r"line \d+: the grammar makes 456 templates, not the 455"),
    ("the {age} {noun}", "the {age} {nuon}", r"line \d+: unknown blank \{nuon\} \(did you mean 'noun'"),
    (
        "<dressed><hair_then_rest>",
        "<dresed><hair_then_rest>",
        r"line \d+: <dresed> is not defined \(did you mean 'dressed'",
    ),
    ("  - the {gender}\n", "  - the {age} {gender}\n", "the same template twice"),
    (
        "{gender: man, age: child}",
        "{gender: men, age: child}",
        "gender is 'men', which it never is.*did you mean 'man'",
    ),
    ("{gender: man, age: child}", "{gendr: man, age: child}", "unknown field 'gendr'"),
    ("riding {vehicle}", "riding {vehicles}", r"word 'action' holds an unknown blank \{vehicles\}"),
    (
        "[ {they} (carries|carry) {bag}.]",
        "[ {they} (has|have) {action}.]",
        "required attribute 'action' stands in brackets",
    ),
    (
        "[ {they} (carries|carry) {bag}.]",
        "[ {they} (carries|carry) {bag} and {hat}.]",
        "exactly one attribute's blank",
    ),
    ("[ {they} (carries|carry) {bag}.]", " [ {they} (carries|carry {bag}.]", "brackets near"),
    ("  - the {gender}\n", "  - <subject>\n", "stands for itself"),
    ("{text: [boy]", "{texts: [boy]", "unknown key 'texts'"),
]
WRONG_FOR_BEST = [
    ("count: 1570", "count: 1000", r"line \d+: the grammar makes 1570 templates, not the 1000"),
    ("tell_at_least: 5", "tell_at_least: few", "'tell_at_least' must be a whole number"),
    ("tell_at_least: 5", "tell_at_least: 5\nomit_at_most: 1", "exclude each other"),
    ("tell_at_least: 5\n", "", "the required attribute '[a-z_]+' stands in brackets"),
    ("in {short upper_clothes}.", "in {shrot upper_clothes}.", r"can be 'short', not \{shrot upper_clothes\}"),
    ("{action} in {short", "{short action} in {short", r"can be 'short', not \{short action\}"),
    ("with {hair_length} is {action}.", "is {action} with {vehicle}.", "'vehicle' may be said before its blank"),
    (
        " is {action}[, wearing",
        " is {with_vehicle} and is {action}[, wearing",
        "'vehicle' may be said before its blank",
    ),
    (" has {hair_length}.", " has {}.", r"unknown blank \{\}"),
    (
        "    - {text: [person, pedestrian, individual, passer-by, human figure, subject]}\n",
        "",
        "the word 'noun' is nothing where none",
    ),
    (" has {hair_length}.", " has {hiar_length}.", r"unknown blank \{hiar_length\} \(did you mean 'hair_length'"),
]
WRONG = [("paper", *wrong) for wrong in WRONG_FOR_PAPER] + [("best", *wrong) for wrong in WRONG_FOR_BEST]


@pytest.mark.parametrize(("recipe", "old", "new", "message"), WRONG)
def test_wrong_templates_are_refused_with_file_and_fault(vocabulary, tmp_path, recipe, old, new, message):
    text = vocabulary.templates_for(recipe).read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "templates.yaml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError, match=message) as refusal:
        load_templates(vocabulary, path)
    assert "templates.yaml" in str(refusal.value)


@pytest.mark.parametrize(
    ("templates", "message"),
    [
        ('["a {age} {gender}."]', "no template fits an image of which nothing is known"),
        ('["a person.[ It is {action}.]"]', "no template has a place for the attribute 'age'"),
    ],
)
def test_templates_must_fit_whatever_is_known(vocabulary, tmp_path, templates, message):
    path = tmp_path / "templates.yaml"
    path.write_text(f"tell_at_least: 1\ntemplates: {templates}\n")
    with pytest.raises(UserError, match=message):
        load_templates(vocabulary, path)


def test_both_recipes_are_of_one_vocabulary(vocabulary):
    assert load_templates(vocabulary, vocabulary.templates_for("paper")).tell_at_least is None
    assert load_templates(vocabulary, vocabulary.templates_for("best")).tell_at_least == 5
