"""Order of samples, masking and padding of the training data."""

import string

import numpy as np
import pytest

from modeling_unipt.common.user_errors import UserError
from tests.helpers.people import draw_person
from unipt_train.data.batches import Collator, EpochBatches
from unipt_train.data.loading import load_rows
from unipt_train.data.masking import mask_whole_words
from unipt_train.data.pairs import IdentityPairs, PretrainingPairs, tokenise
from unipt_train.data.tokenizers import bert_tokenizer

WORDS = ["a", "young", "woman", "wearing", "crimson", "trousers", "and", "carrying", "an", "umbrella", "walks"]


@pytest.fixture(scope="module")
def tokenizer():
    # Trained on half of the words, so that the others are split into several pieces.
    return bert_tokenizer([" ".join(WORDS[::2])] * 3 + [" ".join(string.ascii_lowercase), "a" + string.ascii_lowercase])


def test_every_epoch_is_a_new_permutation_without_repeats():
    batches = list(EpochBatches(size=20, batch_size=6, seed=1, start_step=0, max_steps=9))
    epochs = [[index for batch in batches[3 * e : 3 * e + 3] for _, index in batch] for e in range(3)]
    assert all(len(set(epoch)) == 18 for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert [epoch for batch in batches for epoch, _ in batch] == [0] * 18 + [1] * 18 + [2] * 18


def test_a_resumed_order_is_the_rest_of_the_whole_order():
    whole = list(EpochBatches(20, 6, seed=1, start_step=0, max_steps=9))
    assert list(EpochBatches(20, 6, seed=1, start_step=4, max_steps=9)) == whole[4:]


def test_a_dataset_smaller_than_a_batch_is_one_batch():
    (batch,) = EpochBatches(3, 64, seed=0, start_step=0, max_steps=1)
    assert sorted(index for _, index in batch) == [0, 1, 2]


def test_whole_words_are_masked_together(tokenizer):
    encoding = tokenizer(" ".join(WORDS))
    assert len(encoding["input_ids"]) > len(WORDS) + 4
    for seed in range(50):
        input_ids, labels = mask_whole_words(encoding, tokenizer, np.random.default_rng(seed))
        masked_words = {w for w, label in zip(encoding.word_ids(), labels, strict=True) if label != -100}
        assert masked_words and None not in masked_words
        for word, label, original, now in zip(
            encoding.word_ids(), labels, encoding["input_ids"], input_ids, strict=True
        ):
            assert label == (original if word in masked_words else -100)
            assert word in masked_words or now == original


def test_masking_follows_berts_proportions(tokenizer):
    encoding = tokenizer(" ".join(WORDS * 8))
    rng, chosen, kinds = np.random.default_rng(0), [], []
    for _ in range(200):
        input_ids, labels = mask_whole_words(encoding, tokenizer, rng)
        chosen += [label != -100 for label in labels[1:-1]]
        for label, original, now in zip(labels, encoding["input_ids"], input_ids, strict=True):
            if label != -100:
                kinds.append("mask" if now == tokenizer.mask_token_id else "kept" if now == original else "random")
    assert np.mean(chosen) == pytest.approx(0.15, abs=0.01)
    assert kinds.count("mask") / len(kinds) == pytest.approx(0.8, abs=0.02)
    assert kinds.count("random") / len(kinds) == pytest.approx(0.1, abs=0.02)


def test_a_text_over_the_limit_is_cut_and_said_to_be(tokenizer):
    tokenizer.model_max_length = 5
    try:
        assert [tokenise(tokenizer, text)[1] for text in ("a woman and", "a woman and an")] == [False, True]
        assert len(tokenise(tokenizer, "a woman and an")[0]["input_ids"]) == 5
    finally:
        tokenizer.model_max_length = 10**9


def test_padding_reaches_the_longest_text_and_is_marked():
    import torch

    samples = [
        {"input_ids": [2, 5, 3], "mlm_input_ids": [2, 4, 3], "mlm_labels": [-100, 5, -100]},
        {"input_ids": [2, 3], "mlm_input_ids": [2, 3], "mlm_labels": [-100, -100]},
    ]
    samples = [sample | {"pixel_values": torch.zeros(3, 4, 2)} for sample in samples]
    batch = Collator(pad_token_id=0)(samples)
    assert batch["input_ids"].tolist() == [[2, 5, 3], [2, 3, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["mlm_labels"].tolist() == [[-100, 5, -100], [-100, -100, -100]]
    assert batch["pixel_values"].shape == (2, 3, 4, 2)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "CMYK", "1", "I;16"])
def test_images_of_any_mode_become_samples(tiny_processor, mode):
    from PIL import Image

    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 32, 3), dtype=np.uint8)).convert("L")
    row = {"image": image.convert(mode), "captions": ["a man in a red coat"], "image_id": "x"}
    sample = PretrainingPairs(Rows([row]), tiny_processor, seed=0)[0, 0]
    assert sample["pixel_values"].shape == (3, 96, 32) and sample["pixel_values"].isfinite().all()


class Rows(list):
    """A list of rows that gives several at once, as a ``datasets.Dataset`` does."""

    def __getitems__(self, indices):
        return [self[index] for index in indices]


def test_samples_of_a_batch_are_those_that_are_made_alone(tiny_processor):
    """Images of two sizes; several captions each, so that what is drawn shows."""
    import datasets
    from PIL import Image

    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 255, (size, 40, 3), dtype=np.uint8)) for size in (64, 90, 64)]
    captions = [[f"a {word} in a red {other}" for word in WORDS for other in WORDS] for _ in images]
    rows = datasets.Dataset.from_dict({"image": images, "captions": captions, "person_id": [4, 4, 9]})
    for samples in (PretrainingPairs(rows, tiny_processor, seed=3), IdentityPairs(rows, tiny_processor, seed=3)):
        keys = [(epoch, index) for epoch in range(4) for index in (2, 0, len(samples) - 1)]
        together = samples.__getitems__(keys)
        assert len({sample["pixel_values"].numpy().tobytes() for sample in together}) > 3  # some are flipped
        for key, sample in zip(keys, together, strict=True):
            alone = samples[key]
            assert alone.keys() == sample.keys()
            assert all(np.array_equal(alone[name], sample[name]) for name in alone)


UNTIDY = "\ufeffa \u201cyoung\u201d&nbsp; woman\n"


def test_captions_are_trained_on_in_their_normal_form(tiny_processor):
    rows = []
    for caption in (UNTIDY, 'a "young" woman'):
        rows.append({"image": draw_person(0, 64, 32), "captions": [caption], "image_id": "x", "duplicate_of": None})
    pairs = PretrainingPairs(Rows(rows), tiny_processor, seed=0, identified=True)
    untidy = pairs[0, 0]
    tidy = pairs[0, 1]
    # Of the same text, so that neither is a negative of the other.
    assert untidy["text_ids"] == tidy["text_ids"]
    assert untidy["input_ids"] == tidy["input_ids"] == tiny_processor.tokenizer('a "young" woman')["input_ids"]


def test_captions_of_people_are_trained_on_in_their_normal_form(tiny_processor):
    import datasets

    images = [draw_person(0, 64, 32)] * 2
    captions = [[UNTIDY], ['a "young" woman']]
    rows = datasets.Dataset.from_dict({"image": images, "captions": captions, "person_id": [1, 2]})
    pairs = IdentityPairs(rows, tiny_processor, seed=0)
    assert pairs[0, 0]["input_ids"] == pairs[0, 1]["input_ids"]


def write_dataset(folder, columns):
    import datasets

    folder.mkdir()
    datasets.Dataset.from_dict(columns).to_parquet(folder / "train-00000-of-00001.parquet")


def test_a_missing_column_is_named(tmp_path):
    write_dataset(tmp_path / "rows", {"text": ["a"]})
    with pytest.raises(UserError, match="no column 'captions', which this command needs; it has text"):
        load_rows(str(tmp_path / "rows"), "train", ["captions"])


def test_a_missing_split_is_named(tmp_path):
    write_dataset(tmp_path / "rows", {"captions": ["a"]})
    with pytest.raises(UserError, match="no split 'test'; it has train"):
        load_rows(str(tmp_path / "rows"), "test", ["captions"])


def test_a_dataset_that_is_nowhere_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UserError, match="cannot be loaded"):
        load_rows(str(tmp_path / "nowhere"), "train", ["captions"])
