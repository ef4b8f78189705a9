"""Small parts of sentences and pages."""

import pytest

from modeling_unipt.common.words import markdown_table, nearest, with_articles


def test_the_nearest_name_is_offered_if_one_is_near():
    assert nearest("upper_cloths", ["hat", "upper_clothes"]) == " (did you mean 'upper_clothes'?)"
    assert nearest("zebra", ["hat", "upper_clothes"]) == nearest("hat", []) == ""
    assert nearest(383, [384, 128]) == " (did you mean '384'?)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a umbrella and a hat", "an umbrella and a hat"),
        ("A old man with a orange bag", "An old man with an orange bag"),
        ("a uniform, a used coat, a European hat, a one-piece", "a uniform, a used coat, a European hat, a one-piece"),
        ("a hour of a honest man, a hoodie", "an hour of an honest man, a hoodie"),
        ("data available, a", "data available, a"),
    ],
)
def test_articles_follow_the_sound(text, expected):
    assert with_articles(text) == expected


def test_a_markdown_table():
    assert markdown_table(["name", "Rank-1"], [("ours", 0.5), ("theirs", None)]) == (
        "| name | Rank-1 |\n|---|---|\n| ours | 0.5 |\n| theirs | None |"
    )
