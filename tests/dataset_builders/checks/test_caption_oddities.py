"""What is odd in a data set of captions is counted, told, listed in the card, and refused by --strict."""

import pytest

from dataset_builders.checks import caption_texts as texts
from dataset_builders.checks.caption_oddities import HEADING, Oddities
from dataset_builders.synthetic_pedestrians.domains import DOMAINS
from dataset_builders.synthetic_pedestrians.people import sample_person, sample_view
from dataset_builders.synthetic_pedestrians.write_world import captions_of
from modeling_unipt.captions_unipt import normal_caption
from modeling_unipt.common.user_errors import UserError

ODD = {
    texts.BLANK: ["", "  \n ", "&nbsp;", "\ufeff", "\u200b"],
    texts.NO_LETTERS: ["...", "123", "- - -", "?", "(1)"],
    texts.NO_TEXT: ["man", "Walking.", "a", "null", "nan", "N/A", "No description.", "x1"],
    texts.MARKUP: ["<b>A man</b> in red", "&lt;p&gt;A man in red", "**A man** in red", "# A man in red", "A man <"],
    texts.CODE: [
        "def main(): return 0",
        "import os",
        "for (int i = 0; i != n; i++) {",
        'print("hello world")',
        "A {color} shirt on a {gender}",
        "A man in $color",
        "A man in %s and %s",
        "self.name = name",
        "const person = new Person()",
        "SELECT name FROM people;",
        '$(".person").hide();',
    ],
    texts.INSTRUCTION: ["description]", "[description]: a man in red", "Caption: a man in red", "Lorem ipsum dolor"],
    texts.ESCAPES: [
        "A man in red./n",
        "A man in red. /n",
        "A man./nHe walks.",
        r"A man.\nHe walks.",
        r"\u4e2d\u6587 man",
    ],
    texts.ADDRESS: ["see http://a.example/b", "imgs/0001_c1s1.jpg", "www.example.com a man", "a man in 0001.PNG"],
    texts.CHAT: [
        "I'm sorry, but I cannot see the image.",
        "As an AI language model, I can't describe people.",
        "Sure! The man wears a red coat.",
        "I am unable to view it.",
        "There is no person in the image.",
    ],
    texts.WRONG_ENCODING: ["a man \ufffd in red", "a man with a â€ coat"],
    texts.REPEATED: ["the man the the the the", "red red red red", "a man, man, man, man"],
    texts.OTHER_LANGUAGE: [
        "穿红色外套的男人",
        "男",
        "мужчина в красной куртке",
        "un hombre con una camiseta roja",
        "un homme avec une veste noire",
        "Mann mit roter Jacke und schwarzer Hose, trägt eine Tasche",
        "người đàn ông mặc áo đen",
        "赤いコートを着た男性",
    ],
}
PLAIN = [
    "A man in a black/navy shirt and/or jacket.",
    "A woman with a man's bag (a big one).",
    'The man is wearing a t-shirt with "NIKE" on it; he has shoes.',
    "A MAN IN RED",
    "Woman walking",
    "A young man, 20-30 years old, w/out hat.",
    "He is wearing a white shirt(s).",
    "HIS JACKET SAYS FROM DEPARTMENT OF SELECT.",
    "A man with class. He returns from the import shop & the void.",
    "A naïve, café-coloured coat, 100 % wool, #10 on its back",
    "This man has short, black hair...",
    "A man in a red coat.He walks.",
    "A man who is very very very tall; black hair; white shirt;",
    "A person wearing jeans, i.e. blue ones, e.g. Levi's.",
    "The woman's purse is from H&M; she walks.",
    "a man in le coq sportif and a van behind him",
    "I think the man is sure, certainly, of his image.",
]


@pytest.mark.parametrize(("kind", "caption"), [(kind, caption) for kind in ODD for caption in ODD[kind]])
def test_an_odd_caption_is_told_by_its_kind(kind, caption):
    assert kind in texts.odd_kinds(normal_caption(caption))


@pytest.mark.parametrize("caption", ["<div class='a'>A man in red</div>", "A `man` in red", "see https://a.b/?c={d}"])
def test_neither_tags_nor_addresses_are_code(caption):
    assert texts.CODE not in texts.odd_kinds(normal_caption(caption))


@pytest.mark.parametrize("caption", PLAIN)
def test_a_plain_caption_is_not_odd(caption):
    assert texts.odd_kinds(normal_caption(caption)) == []


@pytest.mark.parametrize("domain", DOMAINS)
def test_at_most_one_in_a_thousand_rendered_captions_is_flagged(domain):
    world = DOMAINS[domain]
    oddities = Oddities()
    for number in range(300):
        person = sample_person(3, number, world)
        for view_number in range(2):
            view = sample_view(3, number, view_number, person, world)
            captions, _ = captions_of(3, number, view_number, person, view, domain=world)
            oddities.add("train" if number < 200 else "test", number, captions, f"{number}_{view_number}.jpg")
    assert oddities.captions == 1200
    assert 1000 * oddities.flagged <= oddities.captions
    assert oddities.found() == []


BAD_SET = [
    ("train", 1, ["A man in red.", "He walks."], "imgs/a.jpg"),
    ("train", 2, ["a man  in RED.", " "], "imgs/b.jpg"),
    ("train", 3, ["A man in red.", "A man in red./n"], "imgs/c.jpg"),
    ("test", "1", ["<b>x | `y`</b>"], "imgs/d.jpg"),
    ("test", 4, ["A woman in blue."], "imgs/e.jpg"),
    ("test", 5, ["a woman in blue."], "imgs/f.jpg"),
    ("test", 5, ["A woman in blue.", "man"], "imgs/g.jpg"),
    ("val", 3, ["A man in red."], "imgs/h.jpg"),
    ("val", 6, ["穿红色外套的男人", "de"], "imgs/i.jpg"),
]
LINES = [
    "odd: ids of people who are in train and in test: 1, such as id 1",
    "odd: ids of people who are in train and in val: 1, such as id 3",
    "odd: texts of train that describe several people: 1 (3 captions), such as that of imgs/a.jpg (id 1) and "
    "imgs/b.jpg (id 2)",
    "odd: texts of test that describe several people: 1 (3 captions), such as that of imgs/e.jpg (id 4) and "
    "imgs/f.jpg (id 5)",
    'odd: captions of one word, or that say there is none: 2, such as "man" of imgs/g.jpg',
    "odd: blank captions: 1, such as imgs/b.jpg",
    'odd: captions with a line break that is spelled out, as "/n": 1, such as "A man in red./n" of imgs/c.jpg',
    'odd: captions with markup: 1, such as "<b>x | `y`</b>" of imgs/d.jpg',
    'odd: captions in another language than English: 1, such as "穿红色外套的男人" of imgs/i.jpg',
]


def looked_at(rows):
    oddities = Oddities()
    for row in rows:
        oddities.add(*row)
    return oddities


def test_each_count_of_a_bad_set_is_told_and_stands_in_the_card():
    oddities = looked_at(BAD_SET)
    assert oddities.lines() == LINES
    assert (oddities.captions, oddities.flagged) == (14, 5)
    card = oddities.card_section()
    assert card.startswith(f"{HEADING}\n\n") and card.endswith("|\n")
    rows = [line for line in card.splitlines() if line.startswith("| ")][1:]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == [line.split(": ")[1] for line in LINES]
    # Neither a bar nor markup of an example breaks the table.
    assert "| captions with markup | 1 | `\"<b>x ¦ 'y'</b>\" of imgs/d.jpg` |" in rows


def test_strict_refuses_in_one_sentence_that_names_all_faults():
    with pytest.raises(UserError) as refusal:
        looked_at(BAD_SET).refuse()
    message = str(refusal.value)
    assert "\n" not in message and message.startswith("--strict refuses this data")
    for line in LINES:
        assert (line.removeprefix("odd: ") in message) == ("another language" not in line)
    assert "correct the annotation, or leave out --strict" in message


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [("train", None, ["A man in red."], "a"), ("test", None, ["A man in red."], "b")],
        [("train", 1, ["A man in red.", "A man in red."], "a"), ("train", 1, ["A man in red."], "b")],
        # Of different splits two people may have one text: they never stand in one gallery.
        [("train", 1, ["A man in red."], "a"), ("test", 2, ["A man in red."], "b")],
    ],
)
def test_nothing_is_odd(rows):
    oddities = looked_at(rows)
    assert oddities.lines() == [] and oddities.card_section() == ""
    oddities.refuse()


def test_another_language_is_told_and_not_refused():
    oddities = looked_at([("train", 1, ["穿红色外套的男人"], "a")])
    assert "another language" in oddities.lines()[0] and "another language" in oddities.card_section()
    oddities.refuse()


def test_a_full_disk_is_one_sentence():
    oddities = Oddities()
    oddities._database.execute("PRAGMA max_page_count = 3")
    with pytest.raises(UserError, match="cannot be written .*full.*; make room in the folder of temporary files"):
        for number in range(9000):
            oddities.add("train", number, [f"A man with number {number} on his back."], "imgs/a.jpg")


def test_more_rows_after_a_look_and_more_than_a_block_of_them():
    oddities = looked_at(
        [("train", number, [f"A man with number {number} on his back."], "a") for number in range(5000)]
    )
    assert oddities.lines() == []
    oddities.add("train", 5000, ["A man with number 17 on his back."], "b")
    assert oddities.lines()[0].startswith("odd: texts of train that describe several people: 1 (2 captions)")
    oddities.add("test", 4999, [], "c")
    assert oddities.lines()[0] == "odd: ids of people who are in train and in test: 1, such as id 4999"
