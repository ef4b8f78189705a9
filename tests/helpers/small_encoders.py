"""Encoders of some thousand weights, under the names that the bench gives the large ones."""

from pathlib import Path

from transformers import BertConfig, DeiTConfig, PreTrainedTokenizerBase, ViTConfig

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}


def write_small_encoders(folder: Path, tokenizer: PreTrainedTokenizerBase) -> Path:
    """Write below ``folder`` what :func:`unipt_train.speed.training.write_encoders` writes, in small."""
    DeiTConfig(image_size=64, **SMALL).save_pretrained(folder / "deit-s")
    ViTConfig(image_size=384, **SMALL).save_pretrained(folder / "vit-b16")
    no_dropout = {"hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0}
    BertConfig(vocab_size=200, **no_dropout, **SMALL).save_pretrained(folder / "bert-base")
    tokenizer.save_pretrained(folder / "bert-base")
    return folder
