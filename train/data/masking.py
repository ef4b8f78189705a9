"""Masking of whole words, the input of masked language modelling (paper equation 2)."""

import numpy as np
from transformers import BatchEncoding, PreTrainedTokenizerBase

from modeling_unipt.modeling_unipt import IGNORED_LABEL

# BERT's proportions: so many of the words are to be predicted; of their tokens so many become [MASK], and so many a
# random token. The rest of them stays, so that the model cannot rely on seeing [MASK] wherever it must predict.
PREDICTED_WORDS = 0.15
BECOME_MASK = 0.8
BECOME_RANDOM = 0.1


# With this sign tokens begin that begin a word, in tokenizers that come from SentencePiece.
WORD_BEGINS = "\u2581"


def _word_ids(encoding: BatchEncoding) -> list[int | None]:
    """The number of the word that each token belongs to; None for a special token."""
    numbers = encoding.word_ids()
    if any(number for number in numbers):
        return numbers
    # The tokenizers of Gemma and Llama do not cut at blanks: to them the whole text is one word.
    words = []
    word = 0
    for token, number in zip(encoding.tokens(), numbers, strict=True):
        if number is not None and token.startswith(WORD_BEGINS):
            word += 1
        words.append(None if number is None else word)
    return words


def mask_whole_words(
    encoding: BatchEncoding, tokenizer: PreTrainedTokenizerBase, rng: np.random.Generator
) -> tuple[list[int], list[int]]:
    """Mask some words of one text, each with all of its tokens.

    Args:
        encoding: the output of a fast tokenizer for one text.
        tokenizer: that tokenizer.
        rng: what the words are drawn from.

    Returns:
        (input_ids, labels), each as long as the text. A label is the original token where it has to be predicted, and
        -100 elsewhere. At least one word is always masked.
    """
    input_ids = list(encoding["input_ids"])
    word_ids = _word_ids(encoding)
    labels = [IGNORED_LABEL] * len(input_ids)
    words = sorted({word for word in word_ids if word is not None})
    if not words:
        return input_ids, labels
    is_picked = rng.random(len(words)) < PREDICTED_WORDS
    # The generator is asked for this word even if it is not needed, so that later draws do not depend on it.
    fallback = rng.integers(len(words))
    is_picked[fallback] |= not is_picked.any()
    picked = {word for word, chosen in zip(words, is_picked, strict=True) if chosen}
    for position, word in enumerate(word_ids):
        if word not in picked:
            continue
        labels[position] = input_ids[position]
        action = rng.random()
        if action < BECOME_MASK:
            input_ids[position] = tokenizer.mask_token_id
        elif action < BECOME_MASK + BECOME_RANDOM:
            input_ids[position] = int(rng.integers(len(tokenizer)))
    return input_ids, labels
