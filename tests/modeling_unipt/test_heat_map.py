"""The heat map: against a naive reference on random weights, and the pointing game on the shipped model."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from modeling_unipt import UniPTModel
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.heat_map import has_word_maps, hottest_patch, overlay, word_maps
from tests.helpers.paths import ROOT
from tests.helpers.people import draw_person

TEXT = "a young man in a red coat carries a white handbag"


@pytest.fixture(scope="module", params=["max", "mean"])
def model(request, tiny_config):
    torch.manual_seed(1)
    return UniPTModel(tiny_config(pooling=request.param)).eval()


def test_a_map_is_the_cosine_of_what_the_words_add_and_each_patch(model, tiny_processor):
    image, words = draw_person(3), "red coat"
    (heat_map,) = word_maps(model, tiny_processor, image, TEXT, [words])
    assert heat_map.shape == (6, 2) and heat_map.dtype == np.float32

    tokenizer, inputs = tiny_processor.tokenizer, tiny_processor(text=[TEXT], images=[image], return_tensors="pt")
    before = len(tokenizer(TEXT[: TEXT.index(words)])["input_ids"]) - 1  # less the closing token
    inside = range(before, before + len(tokenizer(words)["input_ids"]) - 2)
    with torch.no_grad():
        tokens = model.text_projection(
            model.get_text_features(inputs["input_ids"], inputs["attention_mask"]).last_hidden_state
        )[0].numpy()
        patches = model.visual_projection(model.get_image_features(inputs["pixel_values"]).last_hidden_state)
    patches = patches[0, -12:].numpy()
    pool = np.max if model.config.text_pooling == "max" else np.mean
    rest = [row for place, row in enumerate(tokens) if place not in inside]
    added = pool(tokens, axis=0) - pool(rest, axis=0)
    for place, patch in enumerate(patches):
        expected = added @ patch / max(np.linalg.norm(added) * np.linalg.norm(patch), 1e-12)
        assert heat_map[place // 2, place % 2] == pytest.approx(expected, abs=1e-5)


def test_maps_come_in_the_order_of_the_words_and_depend_on_nothing_else(model, tiny_processor):
    image = draw_person(4)
    both = word_maps(model, tiny_processor, image, TEXT, ["handbag", "red coat"])
    assert both.shape == (2, 6, 2)
    for words, expected in zip(["handbag", "red coat"], both, strict=True):
        np.testing.assert_allclose(word_maps(model, tiny_processor, image, TEXT, [words])[0], expected, atol=1e-5)


def test_words_are_found_in_the_normal_form_of_the_text(model, tiny_processor):
    """Blanks and entities before the words would else move them to other tokens."""
    image = draw_person(4)
    untidy = f"\ufeff \n{TEXT.replace('young', '&#121;oung').replace(' ', ' &nbsp;')}"
    expected = word_maps(model, tiny_processor, image, TEXT, ["red coat", "white handbag"])
    found = word_maps(model, tiny_processor, image, untidy, ["red  coat", "white&nbsp;handbag"])
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "pooling", [{"pooling": "class"}, {"vision_pooling": "first"}, {"text_pooling": "last"}, {"text_pooling": "first"}]
)
def test_a_model_that_reads_one_token_has_no_maps(pooling, tiny_config, tiny_processor):
    model = UniPTModel(tiny_config(**pooling)).eval()
    assert not has_word_maps(model)
    with pytest.raises(UserError, match="has no heat maps of words; only the poolings max and mean"):
        word_maps(model, tiny_processor, draw_person(0), TEXT, ["red coat"])


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        (TEXT, ["green hat"], 'the words "green hat" do not stand in'),
        (TEXT, ["andbag"], "do not stand in"),
        (TEXT, [" "], "do not stand in"),
        (TEXT, [], "no words are given"),
        ("a man " * 60 + "with a hat", ["hat"], "after the longest text"),
    ],
)
def test_words_that_have_no_map_are_told(model, tiny_processor, text, words, message):
    with pytest.raises(UserError, match=message):
        word_maps(model, tiny_processor, draw_person(0), text, words)


def test_the_image_glows_where_it_is_hot_and_is_gray_elsewhere():
    image = Image.new("RGB", (64, 192), (40, 90, 200))
    heat_map = np.full((12, 4), -0.2)
    heat_map[2, 1] = 0.5
    pixels = np.asarray(overlay(image, heat_map, 0.5)).astype(int)
    assert pixels.shape == (192, 64, 3)
    cold = pixels[180, 60]
    assert cold.max() - cold.min() <= 2
    hot = pixels[2 * 16 + 8, 1 * 16 + 8]
    assert hot[0] > cold[0] + 40
    assert (np.asarray(overlay(image, np.zeros((12, 4)), 0)) == cold).all()


def test_the_hottest_patch_is_given_as_shares_of_the_sides():
    heat_map = np.zeros((12, 4))
    heat_map[11, 3] = 1
    assert hottest_patch(heat_map) == (3.5 / 4, 11.5 / 12)


def test_the_shipped_model_wins_the_pointing_game(tmp_path):
    """A short game; docs/pointing_game.md has a long one."""
    command = [sys.executable, ROOT / "train" / "pointing_game.py", "--identities", "80", "--seed", "9601"]
    subprocess.run([*command, "--output", tmp_path / "game.json"], check=True, capture_output=True, timeout=240)
    things = json.loads((tmp_path / "game.json").read_text())["things"]
    for name in ("hat", "bag", "upper_clothes", "lower_clothes"):
        thing = things[name]
        for kind in ("the thing alone", "all that is seen"):
            assert thing[kind]["low"] > thing["chance"], name
            assert thing[kind]["share"] >= 3 * thing["chance"], name
            assert thing[kind]["share"] == thing[kind]["hits"] / thing["images"]
    assert "| **hat** |" in (tmp_path / "game.md").read_text()


def test_the_published_game_holds_what_is_claimed():
    things = json.loads((ROOT / "docs" / "pointing_game.json").read_text())["things"]
    for name in ("hat", "bag", "upper_clothes", "lower_clothes"):
        for kind in ("the thing alone", "all that is seen"):
            assert things[name][kind]["low"] > 3 * things[name]["chance"]
