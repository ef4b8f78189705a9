"""The processor: pixel values, image modes, text length, and its way through AutoProcessor."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, AutoTokenizer, BertTokenizer
from transformers.models.auto.image_processing_auto import AutoImageProcessor

from modeling_unipt import UniPTImageProcessor, UniPTModel, UniPTProcessor


def test_defaults_are_the_papers():
    processor = UniPTImageProcessor()
    pixels = processor(Image.new("RGB", (50, 90), (255, 0, 51)), return_tensors="pt")["pixel_values"]
    assert pixels.shape == (1, 3, 384, 128)
    torch.testing.assert_close(pixels[0].amax(dim=(1, 2)), torch.tensor([1.0, -1.0, 51 / 127.5 - 1]))
    torch.testing.assert_close(pixels[0].amin(dim=(1, 2)), torch.tensor([1.0, -1.0, 51 / 127.5 - 1]))


def test_resizing_is_pillows_bicubic_without_keeping_the_ratio():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (77, 41, 3), dtype=np.uint8))
    pixels = UniPTImageProcessor(size={"height": 64, "width": 48})(image, return_tensors="np")["pixel_values"][0]
    expected = np.asarray(image.resize((48, 64), Image.Resampling.BICUBIC), dtype=np.float32) / 127.5 - 1
    np.testing.assert_allclose(pixels.transpose(1, 2, 0), expected, atol=1e-5)


def images():
    colour = Image.new("RGB", (20, 40), (200, 30, 60))
    clear = Image.new("RGBA", (20, 40), (0, 0, 0, 0))
    return {
        "L": (Image.new("L", (20, 40), 100), [100, 100, 100]),
        "1": (Image.new("1", (20, 40), 1), [255, 255, 255]),
        "P": (colour.quantize(4), [200, 30, 60]),
        "CMYK": (Image.new("CMYK", (20, 40), (0, 255, 255, 0)), [255, 0, 0]),
        "LA": (Image.new("LA", (20, 40), (10, 0)), [255, 255, 255]),
        "RGBA": (clear, [255, 255, 255]),
        "I;16": (Image.fromarray(np.full((40, 20), 128 * 256, dtype=np.uint16)), [128, 128, 128]),
    }


@pytest.mark.parametrize("mode", list(images()))
def test_every_image_mode_becomes_rgb(mode):
    image, expected = images()[mode]
    assert image.mode == mode
    pixels = UniPTImageProcessor(size={"height": 8, "width": 4})(image, return_tensors="np")["pixel_values"]
    assert pixels.shape == (1, 3, 8, 4)
    np.testing.assert_allclose((pixels[0, :, 0, 0] + 1) * 127.5, expected, atol=3)


def test_images_of_mixed_size_and_mode_make_one_batch(tiny_processor):
    mixed = [image for image, _ in images().values()] + [Image.new("RGB", (300, 100))]
    assert tiny_processor(images=mixed, return_tensors="pt")["pixel_values"].shape == (len(mixed), 3, 96, 32)


def test_texts_are_padded_to_the_longest_of_the_batch(tiny_processor):
    inputs = tiny_processor(text=["a man", "a young man in a red coat"], return_tensors="pt")
    assert inputs["input_ids"].shape == (2, 9)
    assert inputs["attention_mask"].sum(dim=1).tolist() == [4, 9]
    assert "pixel_values" not in inputs


def test_long_texts_are_cut_where_the_tokenizer_ends(tiny_processor):
    assert tiny_processor(text="a man " * 200, return_tensors="pt")["input_ids"].shape == (1, 64)
    assert tiny_processor(text="a man " * 200, max_length=10, return_tensors="pt")["input_ids"].shape == (1, 10)
    shorter = tiny_processor(text="a man " * 200, text_kwargs={"max_length": 12}, return_tensors="pt")
    assert shorter["input_ids"].shape == (1, 12)


def test_long_texts_are_cut_at_100_tokens(tiny_processor):
    unlimited = BertTokenizer(vocab=tiny_processor.tokenizer.get_vocab())
    processor = UniPTProcessor(UniPTImageProcessor(), unlimited)
    assert processor(text="a man " * 200, return_tensors="pt")["input_ids"].shape == (1, 100)


def test_texts_and_images_together_feed_the_model(tiny_processor, tiny_config):
    inputs = tiny_processor(text=["a man", "a woman"], images=[Image.new("RGB", (9, 9))], return_tensors="pt")
    assert UniPTModel(tiny_config())(**inputs).logits_per_text.shape == (2, 1)


def test_saved_processor_comes_back_through_the_auto_classes(tiny_processor, tiny_unipt_folder):
    processor = AutoProcessor.from_pretrained(tiny_unipt_folder)
    assert type(processor) is UniPTProcessor
    assert type(processor.image_processor) is UniPTImageProcessor
    assert type(AutoImageProcessor.from_pretrained(tiny_unipt_folder)) is UniPTImageProcessor
    assert AutoTokenizer.from_pretrained(tiny_unipt_folder).model_max_length == 64
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (77, 41, 3), dtype=np.uint8))
    request = {"text": ["a woman in a blue dress"], "images": [image], "return_tensors": "pt"}
    expected, inputs = tiny_processor(**request), processor(**request)
    assert expected.keys() == inputs.keys()
    for name in expected:
        assert torch.equal(expected[name], inputs[name])
