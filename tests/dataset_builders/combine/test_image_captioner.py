"""The image-text-to-text adapter, on a LLaVA of random weights: it tells images apart, and refuses other models."""

import pytest

from dataset_builders.combine.image_captioner import ImageCaptioner, clean
from modeling_unipt.common.user_errors import UserError
from tests.helpers.people import ENCODER, draw_person

TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %} {% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    """(folder of a tiny LLaVA that spells letter by letter, the same without its chat template)."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )

    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    pieces = [*special.values(), "<image>", *"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ .,:"]
    spelling = Tokenizer(models.WordLevel({piece: index for index, piece in enumerate(pieces)}, unk_token="<unk>"))
    spelling.pre_tokenizer, spelling.decoder = pre_tokenizers.Split("", "isolated"), decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=spelling, additional_special_tokens=["<image>"], **special)
    text = LlamaConfig(
        vocab_size=len(pieces), num_key_value_heads=2, pad_token_id=0, bos_token_id=1, eos_token_id=2, **ENCODER
    )
    vision = CLIPVisionConfig(image_size=32, patch_size=16, **ENCODER)
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration(
        LlavaConfig(vision_config=vision, text_config=text, image_token_index=4, vision_feature_layer=-1)
    )
    options = {
        "image_processor": CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}),
        "tokenizer": tokenizer,
        "patch_size": 16,
        "vision_feature_select_strategy": "default",
        "num_additional_image_tokens": 1,
        "image_token": "<image>",
    }
    chatting, silent = (tmp_path_factory.mktemp("llava") / name for name in ("chatting", "silent"))
    for folder, template in ((chatting, TEMPLATE), (silent, None)):
        model.save_pretrained(folder)
        LlavaProcessor(**options, chat_template=template).save_pretrained(folder)
    return chatting, silent


def test_every_image_gets_a_text_that_depends_on_it_and_not_on_its_neighbours(llava):
    captioner, people = ImageCaptioner(llava[0]), [draw_person(0), draw_person(1, 192, 64), draw_person(2)]
    together = captioner.captions(people)
    assert len(together) == 3 and all(together)
    assert len(set(together)) > 1
    assert [captioner.captions([person])[0] for person in people] == together


def test_a_model_without_a_chat_template_is_refused(llava):
    with pytest.raises(UserError, match="has no chat template"):
        ImageCaptioner(llava[1])


def test_another_kind_of_model_is_refused(tiny_clip_folder):
    with pytest.raises(UserError, match="cannot be loaded as an image-text-to-text model"):
        ImageCaptioner(tiny_clip_folder)


@pytest.mark.parametrize(
    "said, caption",
    [
        ("A man in red.\nHe walks. And then", "A man in red. He walks."),
        ('"A woman in a coat."', "A woman in a coat."),
        ("a child with no end", "a child with no end"),
        ("He paid 3.50 and left. Then", "He paid 3.50 and left."),
        ("  \n", ""),
        ("\u201cA man&#39;s\u00a0 coat.\u201d", "A man's coat."),
    ],
)
def test_answers_become_captions_of_whole_sentences(said, caption):
    assert clean(said) == caption
