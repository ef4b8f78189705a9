"""Words of captions that say nothing about an image."""

from dataset_builders.combine.captioner import Captioner
from dataset_builders.combine.function_words import function_words, words_of


def test_words_that_say_nothing_are_found_and_those_of_phrases_are_not(vocabulary):
    found = function_words(Captioner(vocabulary))
    assert {"the", "a", "wearing", "carries", "he", "they", "person", "dressed", "seen"} <= found
    assert not {"riding", "child", "black", "hair", "open", "man", "boy", "t-shirt"} & found


def test_a_hyphen_or_an_apostrophe_does_not_end_a_word():
    assert words_of("He has a man's black T-shirt. 2 hats!") == ["he", "has", "a", "man's", "black", "t-shirt", "hats"]
