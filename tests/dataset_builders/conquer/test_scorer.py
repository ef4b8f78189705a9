import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from dataset_builders.conquer.scorer import Scorer
from modeling_unipt.common.user_errors import UserError
from tests.helpers.people import ENCODER, draw_person


def test_probabilities_equal_the_models_own_logits(scorer, vocabulary, tiny_clip_folder):
    from transformers import CLIPModel, CLIPProcessor

    images = [draw_person(seed) for seed in range(3)]
    found = scorer.probabilities(images)
    model, processor = CLIPModel.from_pretrained(tiny_clip_folder), CLIPProcessor.from_pretrained(tiny_clip_folder)
    for name in ("gender", "hat", "lower_clothes"):
        prompts = [choice.prompt for choice in vocabulary.attributes[name].choices]
        squashed = [image.resize((32, 32), resample=processor.image_processor.resample) for image in images]
        inputs = processor(text=prompts, images=squashed, padding=True, truncation=True, return_tensors="pt")
        with torch.no_grad():
            expected = model(**inputs).logits_per_image.softmax(dim=1).numpy()
        assert found[name].dtype == np.float32 and found[name].shape == (3, len(prompts))
        np.testing.assert_allclose(found[name], expected, atol=2e-5)


def test_images_are_squashed_so_that_head_and_feet_count(scorer):
    person = draw_person(0)
    for top in (0, 88):
        changed = person.copy()
        changed.paste((255, 0, 0), (0, top, 32, top + 8))
        assert np.abs(scorer.pixels(person).astype(int) - scorer.pixels(changed).astype(int)).max() > 20
    assert scorer.pixels(person).shape == (32, 32, 3)


def test_an_image_scores_the_same_alone_and_in_a_batch(scorer):
    images = [draw_person(seed) for seed in range(5)]
    together, alone = scorer.probabilities(images), scorer.probabilities(images[3:4])
    for name in alone:
        np.testing.assert_allclose(together[name][3:4], alone[name], atol=1e-5)


def test_caption_scores_are_cosines(scorer):
    embeds = scorer.embed_pixels(np.stack([scorer.pixels(draw_person(seed)) for seed in range(2)]))
    captions = ["The man is walking.", "A woman " + "who walks on and on " * 40]
    scores = scorer.caption_scores(embeds, captions)
    texts = scorer.embed_texts(captions)
    expected = [torch.cosine_similarity(embeds[i], texts[i], dim=0).item() for i in range(2)]
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert np.abs(scores).max() <= 1


def test_attributes_left_out_are_not_scored(tiny_clip_folder, vocabulary):
    found = Scorer(tiny_clip_folder, vocabulary.without(["gender"])).probabilities([draw_person(0)])
    assert "gender" not in found and len(found) == 13


def test_lower_precision_stays_close(tiny_clip_folder, scorer, vocabulary):
    half = Scorer(tiny_clip_folder, vocabulary, device="cpu", dtype=torch.bfloat16).probabilities([draw_person(0)])
    full = scorer.probabilities([draw_person(0)])
    assert half["gender"].dtype == np.float32
    assert max(np.abs(half[name] - full[name]).max() for name in full) < 0.2


def test_a_siglip_model_scores_too(tmp_path, tiny_clip_folder, vocabulary):
    from transformers import (
        AutoTokenizer,
        SiglipConfig,
        SiglipImageProcessorPil,
        SiglipModel,
        SiglipTextConfig,
        SiglipVisionConfig,
    )

    tokenizer = AutoTokenizer.from_pretrained(tiny_clip_folder)
    ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    text = SiglipTextConfig(vocab_size=len(tokenizer), max_position_embeddings=64, projection_size=32, **ids, **ENCODER)
    vision = SiglipVisionConfig(image_size=32, patch_size=16, **ENCODER)
    SiglipModel(SiglipConfig(text_config=text.to_dict(), vision_config=vision.to_dict())).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    SiglipImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    probabilities = Scorer(tmp_path, vocabulary).probabilities([draw_person(0), draw_person(1)])
    for values in probabilities.values():
        np.testing.assert_allclose(values.sum(axis=1), 1, atol=1e-5)


def test_what_is_not_clip_style_is_refused(tmp_path, tiny_unipt_folder, tiny_clip_folder, vocabulary):
    from transformers import ViTConfig, ViTModel

    with pytest.raises(UserError, match="holds no config.json"):
        Scorer(str(tmp_path), vocabulary)
    ViTModel(ViTConfig(image_size=32, patch_size=16, **ENCODER)).save_pretrained(tmp_path / "vit")
    with pytest.raises(UserError, match="is a ViTModel, which does not compare images with texts"):
        Scorer(str(tmp_path / "vit"), vocabulary)
    from transformers import CLIPModel

    CLIPModel.from_pretrained(tiny_clip_folder).save_pretrained(tmp_path / "bare")
    with pytest.raises(UserError, match="lacks its tokenizer or image processor"):
        Scorer(str(tmp_path / "bare"), vocabulary)
    (tmp_path / "bare" / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\nsize 12345\n")
    with pytest.raises(UserError, match=r"bare/model\.safetensors is a Git LFS pointer to a file of 12,345 bytes"):
        Scorer(str(tmp_path / "bare"), vocabulary)
    with pytest.raises(UserError, match="cannot be loaded as a folder or from the Hub"):
        Scorer("nobody/no-such-model", vocabulary)


def test_a_model_that_lacks_weights_is_refused(tmp_path, tiny_clip_folder, vocabulary):
    folder = shutil.copytree(tiny_clip_folder, tmp_path / "clip")
    weights = load_file(folder / "model.safetensors")
    del weights["visual_projection.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="the weights of scorer .* are incomplete: 1 are missing, the first visual"):
        Scorer(str(folder), vocabulary)


def test_a_scorer_of_another_vocabulary_shares_the_weights(scorer, tiny_clip_folder, vocabulary):
    less = vocabulary.without(["gender"])
    other = scorer.with_vocabulary(less)
    assert other.model is scorer.model and scorer.vocabulary is vocabulary
    torch.testing.assert_close(other.prompt_embeds, Scorer(tiny_clip_folder, less, device="cpu").prompt_embeds)
