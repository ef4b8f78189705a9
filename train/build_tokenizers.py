"""Train the two small tokenizers of the embedded default on the English text that this project ships.

They stand in for BERT's WordPiece (30,522 tokens) and CLIP's BPE (49,408 tokens): same classes, fewer tokens. The
corpus is every string in the YAML files of dataset_builders/ but those of the second rendered domain, whose words stay
unseen. train/train_clip.py asks for CLIP's; BERT's is written by

    python train/build_tokenizers.py --bert train/configs/bert-tiny
"""

import argparse
import string
from pathlib import Path

from modeling_unipt.common.user_errors import run_command

BERT_VOCABULARY, CLIP_VOCABULARY = 1500, 1200


def corpus():
    """All strings of the data files, one a line, and every ASCII character at the start and in the middle of a word."""
    import yaml

    import dataset_builders

    def strings(value):
        if isinstance(value, dict):
            for key, item in value.items():
                yield from strings(key)
                yield from strings(item)
        elif isinstance(value, list):
            for item in value:
                yield from strings(item)
        elif isinstance(value, str):
            yield value

    lines = [" ".join(string.printable.strip()), "a" + string.digits + string.ascii_lowercase]
    for path in sorted(Path(dataset_builders.__file__).parent.rglob("*.yaml")):
        if path.name.startswith("station"):
            continue
        lines += strings(yaml.safe_load(path.read_text(encoding="utf-8")))
    return lines


def bert_tokenizer(lines, max_length=100):
    """A ``BertTokenizer`` whose words are those of ``lines``."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertTokenizer

    trained = BertWordPieceTokenizer(lowercase=True)
    trained.train_from_iterator(lines, vocab_size=BERT_VOCABULARY, min_frequency=1, show_progress=False)
    return BertTokenizer(vocab=trained.get_vocab(), model_max_length=max_length)


def clip_tokenizer(lines, max_length=77):
    """A ``CLIPTokenizer`` (byte-level BPE, lower case, end-of-word suffix) whose merges are learned from ``lines``."""
    import json

    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    special = ["<|startoftext|>", "<|endoftext|>"]
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
        initial_alphabet=sorted(alphabet),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    trained.train_from_iterator(lines, trainer)
    learned = json.loads(trained.to_str())["model"]
    vocabulary = dict(sorted(learned["vocab"].items(), key=lambda item: item[1]))
    for letter in sorted(alphabet):
        vocabulary.setdefault(letter + "</w>", len(vocabulary))
    for token in special:
        vocabulary[token] = len(vocabulary)
    merges = [tuple(merge) for merge in learned["merges"]]
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=max_length)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bert", required=True, help="folder that receives the WordPiece tokenizer")
    arguments = parser.parse_args(argv)
    lines = corpus()
    bert_tokenizer(lines).save_pretrained(arguments.bert)
    print(f"trained on {len(lines)} strings; wrote {arguments.bert}")


if __name__ == "__main__":
    run_command(main)
