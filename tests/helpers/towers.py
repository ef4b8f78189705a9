"""Tiny encoders of every family that UniPT takes, with random weights and a tokenizer of their kind, in Hub layout."""

from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from tests.helpers.people import ENCODER

SENTENCES = [
    "a young man in a red coat and black trousers is walking",
    "an old woman with long hair wears a blue dress and carries a white handbag",
    "the child wears a striped t-shirt, green shorts and a cap, and rides a bicycle",
]
LONGEST = 40
IMAGE = {"image_size": 64, "patch_size": 16}
VISION = ("vit", "deit", "clip", "siglip", "dinov2", "dinov2-registers", "dinov3", "beit")
TEXT = ("bert", "roberta", "xlm-roberta", "distilbert", "mpnet", "modernbert", "clip", "siglip", "qwen3")


def write_vision_tower(family: str, folder: Path) -> Path:
    """A checkpoint of an image encoder; of CLIP and SigLIP the whole dual encoder, as it lies on the Hub."""
    if family in ("clip", "siglip"):
        return write_dual_encoder(family, folder)
    # DINOv2 counts its inner width as a multiple of the outer one.
    narrow = {name: size for name, size in ENCODER.items() if name != "intermediate_size"}
    model = {
        "vit": lambda: transformers.ViTModel(transformers.ViTConfig(**IMAGE, **ENCODER)),
        "deit": lambda: transformers.DeiTModel(transformers.DeiTConfig(**IMAGE, **ENCODER)),
        "dinov2": lambda: transformers.Dinov2Model(transformers.Dinov2Config(mlp_ratio=2, **IMAGE, **narrow)),
        "dinov2-registers": lambda: transformers.Dinov2WithRegistersModel(
            transformers.Dinov2WithRegistersConfig(mlp_ratio=2, **IMAGE, **narrow)
        ),
        "dinov3": lambda: transformers.DINOv3ViTModel(
            transformers.DINOv3ViTConfig(num_register_tokens=4, **IMAGE, **ENCODER)
        ),
        # As Microsoft's fine-tuned checkpoints: a relative position bias in each layer, and the mean as pooling.
        "beit": lambda: transformers.BeitModel(
            transformers.BeitConfig(use_relative_position_bias=True, drop_path_rate=0.0, **IMAGE, **ENCODER)
        ),
    }[family]
    return _saved(model(), folder)


def write_text_tower(family: str, folder: Path) -> Path:
    """A checkpoint of a text encoder with its tokenizer; of CLIP and SigLIP the whole dual encoder."""
    if family in ("clip", "siglip"):
        return write_dual_encoder(family, folder)
    tokenizer = _tokenizer(family)
    sizes = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, **ENCODER}
    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    from_padding = LONGEST + tokenizer.pad_token_id + 1
    model = {
        "bert": lambda: transformers.BertForMaskedLM(
            transformers.BertConfig(max_position_embeddings=LONGEST, **no_dropout, **sizes)
        ),
        "roberta": lambda: transformers.RobertaForMaskedLM(
            transformers.RobertaConfig(max_position_embeddings=from_padding, **no_dropout, **sizes)
        ),
        "xlm-roberta": lambda: transformers.XLMRobertaForMaskedLM(
            transformers.XLMRobertaConfig(max_position_embeddings=from_padding, **no_dropout, **sizes)
        ),
        "distilbert": lambda: transformers.DistilBertForMaskedLM(
            transformers.DistilBertConfig(
                vocab_size=len(tokenizer),
                max_position_embeddings=LONGEST,
                dim=ENCODER["hidden_size"],
                n_layers=ENCODER["num_hidden_layers"],
                n_heads=ENCODER["num_attention_heads"],
                hidden_dim=ENCODER["intermediate_size"],
                dropout=0.0,
                attention_dropout=0.0,
            )
        ),
        "mpnet": lambda: transformers.MPNetForMaskedLM(
            transformers.MPNetConfig(max_position_embeddings=from_padding, **no_dropout, **sizes)
        ),
        "modernbert": lambda: transformers.ModernBertForMaskedLM(
            transformers.ModernBertConfig(
                max_position_embeddings=LONGEST,
                bos_token_id=tokenizer.bos_token_id,
                cls_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                sep_token_id=tokenizer.eos_token_id,
                **sizes,
            )
        ),
        "qwen3": lambda: transformers.Qwen3ForCausalLM(
            transformers.Qwen3Config(num_key_value_heads=1, head_dim=16, max_position_embeddings=LONGEST, **sizes)
        ),
    }[family]
    _saved(model(), folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_dual_encoder(family: str, folder: Path) -> Path:
    """A CLIP, or a SigLIP 2 of fixed size, whose kind is "siglip"."""
    tokenizer = _tokenizer(family)
    text = {"vocab_size": len(tokenizer), "max_position_embeddings": LONGEST, **ENCODER}
    if family == "clip":
        ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
        text |= ends | {"pad_token_id": tokenizer.pad_token_id}
        config = transformers.CLIPConfig(text_config=text, vision_config=IMAGE | ENCODER, projection_dim=24)
        images = transformers.CLIPImageProcessor(size={"shortest_edge": 64}, crop_size={"height": 64, "width": 64})
        processor = transformers.CLIPProcessor(image_processor=images, tokenizer=tokenizer)
        model = transformers.CLIPModel(config)
    else:
        # The configurations of SigLIP 2 do not tell its tokenizer's padding token.
        config = transformers.SiglipConfig(text_config=text | {"projection_size": 32}, vision_config=IMAGE | ENCODER)
        images = transformers.SiglipImageProcessor(size={"height": 64, "width": 64})
        processor = transformers.SiglipProcessor(image_processor=images, tokenizer=tokenizer)
        model = transformers.SiglipModel(config)
        model.logit_scale.data.fill_(2.3)
        model.logit_bias.data.fill_(-9.5)
    _saved(model, folder)
    processor.save_pretrained(folder)
    return folder


def _saved(model: PreTrainedModel, folder: Path) -> Path:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            # New weights have zeros and ones in many places, which would hide a weight that is left behind.
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    model.save_pretrained(folder)
    return folder


def _tokenizer(family: str) -> PreTrainedTokenizerBase:
    if family in ("bert", "distilbert", "mpnet"):
        return _word_pieces("mpnet" if family == "mpnet" else "bert")
    if family in ("roberta", "modernbert", "qwen3"):
        return _byte_pairs(family)
    if family == "xlm-roberta":
        return _unigrams()
    if family == "siglip":
        return siglip_2_tokenizer()
    from unipt_train.data.tokenizers import clip_tokenizer

    tokenizer = clip_tokenizer(SENTENCES)
    tokenizer.model_max_length = LONGEST
    return tokenizer


def _word_pieces(family: str) -> PreTrainedTokenizerBase:
    special = {"bert": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], "mpnet": ["<s>", "<pad>", "</s>", "[UNK]"]}[
        family
    ]
    trained = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    trained.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trained.train_from_iterator(SENTENCES, trainers.WordPieceTrainer(vocab_size=150, special_tokens=special))
    vocabulary = trained.get_vocab()
    if family == "bert":
        return transformers.BertTokenizer(vocab=vocabulary, model_max_length=LONGEST)
    vocabulary["<mask>"] = len(vocabulary)
    return transformers.MPNetTokenizer(vocab=vocabulary, model_max_length=LONGEST)


def _byte_pairs(family: str) -> PreTrainedTokenizerBase:
    special = ["<|endoftext|>"] if family == "qwen3" else ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=350, special_tokens=special, initial_alphabet=alphabet)
    trained.train_from_iterator(SENTENCES, trainer)
    vocabulary = trained.get_vocab()
    merges = []
    if family == "qwen3":
        return transformers.Qwen2Tokenizer(vocab=vocabulary, merges=merges, model_max_length=LONGEST)
    return transformers.RobertaTokenizer(vocab=vocabulary, merges=merges, model_max_length=LONGEST)


def _unigrams() -> PreTrainedTokenizerBase:
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    words = sorted({word.strip(",") for sentence in SENTENCES for word in sentence.split()})
    pieces += [(f"\u2581{word}", -3.0) for word in words]
    pieces += [(letter, -8.0) for letter in "\u2581abcdefghijklmnopqrstuvwxyz,.-"]
    pieces += [("<mask>", 0.0)]
    return transformers.XLMRobertaTokenizer(vocab=pieces, model_max_length=LONGEST)


def siglip_2_tokenizer(longest: int = LONGEST) -> PreTrainedTokenizerBase:
    """As SigLIP 2's, which is Gemma's in lower case: to it a text is one word, and blanks are signs of their own."""
    vocabulary = {token: number for number, token in enumerate(["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"])}
    for byte in range(256):
        vocabulary[f"<0x{byte:02X}>"] = len(vocabulary)
    for letter in "\u2581abcdefghijklmnopqrstuvwxyz,.-":
        vocabulary[letter] = len(vocabulary)
    merges = []
    for letter in "abcdefghijklmnopqrstuvwxyz":
        vocabulary[f"\u2581{letter}"] = len(vocabulary)
        merges.append(("\u2581", letter))
    # On the right, as the files on the Hub say; the class itself says left.
    return transformers.Siglip2Tokenizer(
        vocab=vocabulary, merges=merges, model_max_length=longest, padding_side="right"
    )


def siglip_1_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """As SigLIP 1's, which is written in Python and does not tell which tokens make a word."""
    import sentencepiece

    with (folder / "spiece.model").open("wb") as model:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(SENTENCES),
            model_writer=model,
            vocab_size=50,
            hard_vocab_limit=False,
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            minloglevel=2,
        )
    return transformers.SiglipTokenizer(vocab_file=str(folder / "spiece.model"), model_max_length=LONGEST)
