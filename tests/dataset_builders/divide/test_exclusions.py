"""What excludes what, where attributes are seen, and how a wrong rule in a vocabulary file is refused."""

import pytest

from dataset_builders.divide.reading import load_vocabulary
from modeling_unipt.common.user_errors import UserError
from tests.helpers.small_vocabulary import SMALL, write_vocabulary


def chosen_by(vocabulary, **values):
    """attribute -> its first choice of which one field has the value."""
    return {
        name: next(choice for choice in vocabulary.attributes[name].choices if value in choice.value.values())
        for name, value in values.items()
    }


def test_contradictions_are_the_exclusions_that_a_choice_breaks(vocabulary):
    def broken(**values):
        return [exclusion.attributes for exclusion in vocabulary.contradictions(chosen_by(vocabulary, **values))]

    assert broken(action="walking", vehicle="bicycle") == [("action", "vehicle")]
    assert broken(action="riding", vehicle="bicycle") == broken(action="walking") == broken() == []
    assert broken(age="child", smoke="pipe", vehicle="scooter") == [("age", "smoke"), ("age", "vehicle")]
    assert broken(age="child", vehicle="bicycle", upper_clothes="dress") == []
    assert broken(upper_clothes="dress", lower_clothes="long-skirt") == [("upper_clothes", "lower_clothes")]
    negative = vocabulary.attributes["vehicle"].choices[-1]
    chosen = {**chosen_by(vocabulary, action="walking"), "vehicle": negative, "age": None}
    assert vocabulary.contradictions(chosen) == []


def test_exclusions_leave_with_their_attributes(vocabulary):
    left = vocabulary.without(["vehicle"])
    assert [exclusion.attributes for exclusion in left.exclusions] == [
        ("age", "smoke"),
        ("upper_clothes", "lower_clothes"),
    ]
    assert left.contradictions(chosen_by(vocabulary, action="walking", vehicle="bicycle")) == []


EXCLUDING = (
    SMALL
    + """\
  roof:
    required: true
    phrases: [with a high roof, {phrase: with a low roof, value: low}]
excludes:
  - {kind: [van, bus], with: {roof: low}}
  - {load: any, with: {kind: bus}}
"""
)


def test_exclusions_are_read_as_data(tmp_path):
    first, second = load_vocabulary(write_vocabulary(tmp_path, EXCLUDING)).exclusions
    assert (first.attributes, first.fields) == (("kind", "roof"), ("kind", "roof"))
    assert first.values == (frozenset({"van", "bus"}), frozenset({"low"}))
    assert second.values[0] == frozenset({"with a roof box", "towing a trailer"})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{roof: low}", "{rof: low}", r"line 15: an exclusion names an unknown field 'rof' \(did you mean 'roof'"),
        ("{kind: [van, bus]", "{kind: [vans, bus]", r"line 15: .* whether kind is 'vans', which .*did you mean 'van'"),
        ("{kind: [van, bus]", "{kind: []", "line 15: an exclusion lists no value of kind"),
        ("with: {roof: low}", "with: {kind: [estate, bus]}", "line 15: the exclusion excludes kind 'bus' from itself"),
        ("with: {roof: low}", "with: {kind: estate}", "line 15: .* never occur together anyhow"),
        (", with: {kind: bus}", "", "line 16: an exclusion must be a mapping like"),
        ("with: {kind: bus}", "with: {kind: bus, roof: low}", "line 16: each side of an exclusion must name one field"),
        ("{roof: low}", "{roof: any}", "line 15: where kind is 'bus', the exclusions leave roof no value"),
        (
            "{load: any, with: {kind: bus}",
            "{kind: estate, with: {roof: low}",
            "line 16: where roof is 'low'.*leave kind",
        ),
        ("name: cars", "name: cars\nregions: {roof: [0, 2]}", r"region 'roof' must be \[top, bottom\].*not \[0, 2\]"),
        ("name: cars", "name: cars\nregions: {whole: [0, 1]}", "'whole' is there by itself"),
        ("  roof:\n", "  roof:\n    region: rof\n", r"line 12: attribute 'roof' is seen in an unknown region 'rof'"),
        ("name: cars", "name: cars\nprompts: A car.", "'prompts' must be a list of texts"),
        ("name: cars", "name: cars\nprompts: [A car.]", r"lacks the blank \{phrase\}: 'A car.'"),
        ("name: cars", "name: cars\nprompts: ['A photo of a car {phrase}.']", "has the prompt .* twice"),
    ],
)
def test_wrong_rules_are_refused_with_file_line_and_fault(tmp_path, old, new, message):
    assert old in EXCLUDING
    with pytest.raises(UserError, match=message) as refusal:
        load_vocabulary(write_vocabulary(tmp_path, EXCLUDING.replace(old, new, 1)))
    assert "vocabulary.yaml" in str(refusal.value)
