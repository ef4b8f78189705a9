"""The two small tokenizers of the tiny models, trained on the English text that this project ships.

They stand in for BERT's WordPiece (30,522 tokens) and CLIP's BPE (49,408 tokens): the same classes, fewer tokens.
"""

import json
import string
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from tokenizers import BertWordPieceTokenizer, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import BertTokenizer, CLIPTokenizer

import dataset_builders

BERT_VOCABULARY = 1500
CLIP_VOCABULARY = 1200
CLIP_LONGEST_TEXT = 77


def _strings(value: Any) -> Iterator[str]:
    """Every string in what a YAML file holds, keys too."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _strings(key)
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, str):
        yield value


def corpus() -> list[str]:
    """The lines to train on: every string in the YAML files of dataset_builders/, and every ASCII character.

    The strings of the second rendered domain, ``station*.yaml``, are left out, so that its words stay unseen.
    """
    # Each character at the start of a word and in the middle of one, for WordPiece has a token for either.
    lines = [" ".join(string.printable.strip()), "a" + string.digits + string.ascii_lowercase]
    # Sorted: the order of the lines decides between tokens that are equally frequent.
    for path in sorted(Path(dataset_builders.__file__).parent.rglob("*.yaml")):
        if path.name.startswith("station"):
            continue
        lines += _strings(yaml.safe_load(path.read_text(encoding="utf-8")))
    return lines


def bert_tokenizer(lines: Sequence[str], max_length: int = 100) -> BertTokenizer:
    """A lower-case WordPiece tokenizer whose words are those of ``lines``; it truncates at ``max_length`` tokens."""
    trained = BertWordPieceTokenizer(lowercase=True)
    trained.train_from_iterator(lines, vocab_size=BERT_VOCABULARY, min_frequency=1, show_progress=False)
    return BertTokenizer(vocab=trained.get_vocab(), model_max_length=max_length)


def clip_tokenizer(lines: Sequence[str]) -> CLIPTokenizer:
    """A tokenizer as CLIP's (byte-level BPE, lower case, end-of-word suffix), its merges learned from ``lines``."""
    trained = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    trained.normalizer = normalizers.Lowercase()
    trained.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Punctuation(),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    trained.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=CLIP_VOCABULARY,
        # Sorted: the alphabet comes in another order in every process, and ids must not.
        initial_alphabet=sorted(alphabet),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    trained.train_from_iterator(lines, trainer)
    learned = json.loads(trained.to_str())["model"]
    vocabulary = dict(sorted(learned["vocab"].items(), key=lambda item: item[1]))
    # Words of one letter that the corpus does not have would be unknown otherwise.
    for letter in sorted(alphabet):
        vocabulary.setdefault(letter + "</w>", len(vocabulary))
    # Last, as in CLIP: its text encoder takes the embedding at the token with the highest id.
    for token in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[token] = len(vocabulary)
    merges = [tuple(merge) for merge in learned["merges"]]
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=CLIP_LONGEST_TEXT)
