"""Which stored captions are trained on: by whom they were written, their score, whether there is a word in them."""

import datasets
import pytest

from modeling_unipt.common.user_errors import UserError
from unipt_train.data.captions import ANY_CAPTION, CaptionChoice, with_captions

ROWS = {
    "captions": [["a man", "a woman"], ["", "a boy"], [" \u200b", "\ufeff"], [], None, ["a girl", "a dog"]],
    "caption_backends": [["qwen", "shikra"], ["qwen", "shikra"], ["qwen"], [], None, None],
    "caption_scores": [[0.1, 0.9], [0.2, 0.3], [None, 0.5], [], None, [float("nan"), 0.4]],
}


@pytest.fixture
def rows():
    return datasets.Dataset.from_dict(ROWS)


@pytest.mark.parametrize(
    ("choice", "chosen"),
    [
        (ANY_CAPTION, [["a man", "a woman"], ["a boy"], [], [], [], ["a girl", "a dog"]]),
        (CaptionChoice(frozenset(["qwen"])), [["a man"], [], [], [], [], []]),
        (CaptionChoice(frozenset(["qwen", "shikra"])), [["a man", "a woman"], ["a boy"], [], [], [], []]),
        (CaptionChoice(None, 0.3), [["a woman"], ["a boy"], [], [], [], ["a dog"]]),
        (CaptionChoice(None, -9.0), [["a man", "a woman"], ["a boy"], [], [], [], ["a dog"]]),
        (CaptionChoice(frozenset(["shikra"]), 0.5), [["a woman"], [], [], [], [], []]),
    ],
)
def test_captions_that_fit_are_chosen_and_rows_without_one_counted(rows, choice, chosen):
    assert [choice.of(row) for row in rows] == chosen
    kept, said = with_captions("x", rows, choice)
    assert [choice.of(row) for row in kept] == [captions for captions in chosen if captions]
    assert said == f"{6 - len(kept)} of 6 rows of x have no caption to train on and are left out"


def test_of_good_rows_nothing_is_said_and_they_are_not_copied():
    rows = datasets.Dataset.from_dict({"captions": [["a man"], ["a woman"]]})
    assert with_captions("x", rows, ANY_CAPTION) == (rows, "")


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (CaptionChoice(frozenset(["qwem"])), r"by --caption-backends qwem .did you mean 'qwen'.*: qwen, shikra$"),
        (CaptionChoice(frozenset(["b", "a"])), r"by --caption-backends a b; its backends: qwen, shikra$"),
        (CaptionChoice(None, 0.95), r"with --min-caption-score 0.95; its highest score is 0.9$"),
    ],
)
def test_where_no_caption_is_left_it_is_said_what_there_is(rows, choice, message):
    with pytest.raises(UserError, match="no row of dataset 'x' has a caption to train on " + message):
        with_captions("x", rows, choice)


def test_a_data_set_without_scores_says_so():
    rows = datasets.Dataset.from_dict({"captions": [["a man"]], "caption_scores": [None]})
    with pytest.raises(UserError, match="it has no scores"):
        with_captions("x", rows, CaptionChoice(None, 0.0))


@pytest.mark.parametrize("captions", [[[1], [2]], [[["a"]], [["b"]]]])
def test_what_are_no_texts_is_refused(captions):
    with pytest.raises(UserError, match="'captions' must hold lists of texts"):
        with_captions("x", datasets.Dataset.from_dict({"captions": captions}), ANY_CAPTION)


def test_a_split_of_blank_captions_alone_is_refused():
    rows = datasets.Dataset.from_dict({"captions": [[""], ["  "], ["\t\n"]]})
    with pytest.raises(UserError, match="no row of dataset 'x' has a caption to train on"):
        with_captions("x", rows, ANY_CAPTION)
