"""The processor: pixel values, image modes, text length, and its way through AutoProcessor."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, AutoTokenizer, BertTokenizer
from transformers.models.auto.image_processing_auto import AutoImageProcessor

from modeling_unipt import UniPTImageProcessor, UniPTModel, UniPTProcessor
from tests.helpers.paths import ROOT


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


PIXELS = np.random.default_rng(0).integers(0, 255, (40, 20, 3), dtype=np.uint8)
SAME_IMAGE = {
    "channels last": PIXELS,
    "channels first": PIXELS.transpose(2, 0, 1),
    "strided": np.repeat(PIXELS, 2, axis=0)[::2],
    "int64": PIXELS.astype(np.int64),
    "uint16": PIXELS.astype(np.uint16) * 257,
    "float 0 to 255": PIXELS.astype(np.float32),
    "float 0 to 1": PIXELS / 255,
    "half 0 to 1": (PIXELS / 255).astype(np.float16),
    "tensor": torch.from_numpy(PIXELS),
    "tensor channels first": torch.from_numpy(PIXELS).permute(2, 0, 1),
    "float tensor with a graph": torch.tensor(PIXELS / 255, requires_grad=True),
    "batch of one": PIXELS[None],
    "opaque RGBA": np.dstack([PIXELS, np.full((40, 20, 1), 255, np.uint8)]),
    "nested lists": [[Image.fromarray(PIXELS)]],
}


@pytest.mark.parametrize("form", list(SAME_IMAGE))
def test_one_image_in_every_form_gives_the_same_values(form, tiny_processor):
    wanted = tiny_processor(images=Image.fromarray(PIXELS), return_tensors="np")["pixel_values"]
    for call in (tiny_processor, lambda images, **options: tiny_processor.image_processor(images, **options)):
        found = call(images=SAME_IMAGE[form], return_tensors="np")["pixel_values"]
        np.testing.assert_array_equal(found, wanted)


def test_images_of_files(tiny_processor, tmp_path):
    path = tmp_path / "person.png"
    Image.fromarray(PIXELS).save(path)
    wanted = tiny_processor(images=Image.fromarray(PIXELS), return_tensors="np")["pixel_values"]
    for images in (path, str(path), [path], [str(path)]):
        np.testing.assert_array_equal(tiny_processor(images=images, return_tensors="np")["pixel_values"], wanted)


def test_an_image_of_a_file_is_upright(tiny_processor, tmp_path):
    turned = Image.fromarray(PIXELS)
    exif = turned.getexif()
    exif[274] = 6  # to be turned by 90 degrees clockwise
    turned.save(tmp_path / "turned.png", exif=exif)
    wanted = tiny_processor(images=turned.transpose(Image.Transpose.ROTATE_270), return_tensors="np")["pixel_values"]
    found = tiny_processor(images=tmp_path / "turned.png", return_tensors="np")["pixel_values"]
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("make", [lambda grey: grey, lambda grey: grey[None], lambda grey: torch.from_numpy(grey)])
def test_grey_arrays(make, tiny_processor):
    grey = PIXELS[:, :, 0]
    wanted = tiny_processor(images=Image.fromarray(grey), return_tensors="np")["pixel_values"]
    np.testing.assert_array_equal(tiny_processor(images=make(grey), return_tensors="np")["pixel_values"], wanted)
    mixed = tiny_processor(images=[make(grey), PIXELS], return_tensors="np")["pixel_values"]
    assert mixed.shape == (2, 3, 96, 32)


def test_a_mask_of_booleans_is_black_and_white():
    pixels = UniPTImageProcessor(size={"height": 4, "width": 4})(np.eye(4, dtype=bool), return_tensors="np")
    np.testing.assert_array_equal(pixels["pixel_values"][0, 0], np.eye(4) * 2 - 1)


def test_scaled_images_are_not_rescaled_if_so_asked(tiny_processor):
    wanted = tiny_processor(images=PIXELS, return_tensors="np")["pixel_values"]
    found = tiny_processor(images=PIXELS / 255, do_rescale=False, return_tensors="np")["pixel_values"]
    np.testing.assert_array_equal(found, wanted)
    raw = tiny_processor(images=PIXELS, do_rescale=False, do_normalize=False, return_tensors="np")["pixel_values"]
    assert raw.max() > 200


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((3, 30, 3), np.uint8), "may be its first or its last axis; say which by input_data_format"),
        (np.zeros((3, 3, 3)), "may be its first or its last axis"),
        (np.zeros((1, 30, 4), np.uint8), "may be its first or its last axis"),
        (np.zeros((30, 30, 2), np.uint8), "neither its first nor its last axis"),
        (np.zeros((2, 30, 30, 30, 3), np.uint8), "is no image"),
        (np.zeros(30, np.uint8), "is no image"),
        (np.zeros((0, 30, 3), np.uint8), "is no image"),
        (np.zeros((0, 30, 3)), "is no image"),
        (np.zeros((0, 30), np.uint8), "is no image"),
        (np.full((30, 30, 3), np.nan), "no finite numbers"),
        (np.full((30, 30, 3), np.inf), "no finite numbers"),
        (np.full((30, 30, 3), -0.5), "values from -0.5 to -0.5"),
        (np.full((30, 30, 3), 300), "values from 300 to 300"),
        (np.full((30, 30, 3), "x"), "is no image"),
        (np.full((30, 30, 3), 1j), "is no image"),
        (b"bytes", "given as bytes"),
        (None, "given as NoneType"),
        ([], "no image is given"),
        ("http://example.com/person.jpg", "never fetched from the network"),
        ("nowhere.jpg", "nowhere.jpg cannot be read"),
    ],
)
def test_what_is_no_image_is_refused_in_one_sentence(images, message, tiny_processor):
    with pytest.raises(ValueError, match=message) as refusal:
        tiny_processor.image_processor(images, return_tensors="pt")
    assert "\n" not in str(refusal.value)


def test_the_axis_of_the_channels_can_be_named():
    processor = UniPTImageProcessor(size={"height": 4, "width": 4})
    first = np.zeros((3, 30, 3), np.uint8)
    first[0] = 255  # red, if the channels come first
    found = processor(first, input_data_format="channels_first", return_tensors="np")["pixel_values"][0]
    assert (found[0] == 1).all() and (found[1:] == -1).all()
    with pytest.raises(ValueError, match="no axis of 1, 3 or 4 channels"):
        processor(np.zeros((30, 30, 3), np.uint8), input_data_format="channels_first", return_tensors="np")


@pytest.mark.parametrize("nested", [False, True])
def test_texts_are_filled_up_to_a_multiple_within_the_positions(nested, tiny_processor):
    option = {"pad_to_multiple_of": 7}
    options = {"text_kwargs": option} if nested else option
    short = tiny_processor(text=["a man", "a woman in a coat"], **options, return_tensors="pt")
    assert short["input_ids"].shape == (2, 7) and short["attention_mask"][0].sum() == 4
    # 64 positions hold 63 tokens in sevens.
    assert tiny_processor(text="a man " * 200, **options, return_tensors="pt")["input_ids"].shape == (1, 63)


def test_texts_are_padded_on_the_right_whatever_the_tokenizer_says(tiny_processor, tmp_path):
    tokenizer = BertTokenizer(vocab=tiny_processor.tokenizer.get_vocab(), padding_side="left", model_max_length=64)
    UniPTProcessor(UniPTImageProcessor(), tokenizer).save_pretrained(tmp_path)
    for processor in (UniPTProcessor(UniPTImageProcessor(), tokenizer), AutoProcessor.from_pretrained(tmp_path)):
        mask = processor(text=["a man", "a young man in a red coat"], return_tensors="pt")["attention_mask"]
        assert mask[0].tolist() == [1, 1, 1, 1, 0, 0, 0, 0, 0]


def test_a_processor_is_saved_to_and_loaded_from_a_path(tiny_processor, tmp_path):
    tiny_processor.save_pretrained(tmp_path / "here")
    assert UniPTProcessor.from_pretrained(tmp_path / "here").tokenizer.model_max_length == 64


UNTIDY = ["\u201ca  man\u201d\nin a red&nbsp;coat", "&quot;a man&quot; in a red coat", '"a man" in a red coat']


def test_texts_are_tokenised_in_their_normal_form(tiny_processor):
    for text in UNTIDY:
        found = tiny_processor(text=text, return_tensors="np")["input_ids"]
        assert found.tolist() == tiny_processor.tokenizer([UNTIDY[-1]])["input_ids"]
    assert len({tuple(ids) for ids in tiny_processor(text=UNTIDY)["input_ids"]}) == 1


def test_a_processor_may_leave_texts_as_they_come(tiny_processor, tmp_path):
    UniPTProcessor(tiny_processor.image_processor, tiny_processor.tokenizer, "as-is").save_pretrained(tmp_path)
    processor = AutoProcessor.from_pretrained(tmp_path)
    assert processor.caption_form == "as-is"
    assert processor(text=UNTIDY[:2])["input_ids"] == tiny_processor.tokenizer(UNTIDY[:2], padding=True)["input_ids"]
    assert len({tuple(ids) for ids in processor(text=UNTIDY)["input_ids"]}) > 1
    with pytest.raises(ValueError, match="caption_form is 'lower'; it must be one of normal, as-is"):
        UniPTProcessor(tiny_processor.image_processor, tiny_processor.tokenizer, "lower")


def test_released_folders_name_no_form_and_give_the_same_tokens_for_clean_texts():
    folder = ROOT / "unipt" / "unipt-tiny"
    assert "caption_form" not in (folder / "processor_config.json").read_text()
    processor = UniPTProcessor.from_pretrained(folder)
    clean = ["A young man in a red coat, blue jeans and a cap.", "AN OLD WOMAN", "a man's dog-coloured bag (100 %)"]
    assert processor(text=clean)["input_ids"] == processor.tokenizer(clean, padding=True)["input_ids"]
