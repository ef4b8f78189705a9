"""PersonGallery: what it finds, in which order, and that it survives saving."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from modeling_unipt import PersonGallery, load_unipt
from modeling_unipt.embedding import embed_images, embed_texts

from modeling_unipt.user_errors import UserError

QUERY = "a young man in a red coat"


@pytest.fixture(scope="module")
def model_and_processor(tiny_unipt_folder):
    return load_unipt(tiny_unipt_folder)


@pytest.fixture
def gallery(image_folder, model_and_processor):
    return PersonGallery.from_folder(image_folder, model_and_processor, batch_size=4)


def test_search_ranks_by_cosine_similarity(gallery, image_folder, model_and_processor):
    model, processor = model_and_processor
    names = ["cam_b/person_5.jpg", *(f"person_{index}.png" for index in range(5))]
    assert gallery.file_names == names
    scores = {}
    for name in names:
        inputs = processor(text=[QUERY], images=[Image.open(image_folder / name)], return_tensors="pt")
        with torch.no_grad():
            outputs = model(**inputs)
        scores[str(image_folder / name)] = float(outputs.text_embeds[0] @ outputs.image_embeds[0])
    results = gallery.search(QUERY, top_k=4)
    assert [result.path for result in results] == sorted(scores, key=scores.get, reverse=True)[:4]
    assert [result.rank for result in results] == [1, 2, 3, 4]
    for result in results:
        assert result.score == pytest.approx(scores[result.path], abs=1e-5)
        assert gallery.file_names[result.index] in result.path


def test_more_results_than_pictures(gallery):
    assert len(gallery.search(QUERY, top_k=100)) == len(gallery) == 6


def test_unreadable_files_are_left_out_with_their_reason(gallery):
    reasons = dict(gallery.rejected)
    assert sorted(reasons) == ["empty.jpg", "torn.png"]
    assert reasons["empty.jpg"] == "zero bytes"


@pytest.mark.parametrize("seed", range(5))
def test_best_is_exact_and_keeps_gallery_order_among_equals(seed):
    scores = np.random.default_rng(seed).integers(0, 6, 40).astype(np.float32)
    expected = sorted(range(40), key=lambda index: (-scores[index], index))
    for top_k in (1, 7, 40, 99):
        assert _best(scores, top_k).tolist() == expected[:top_k]


@pytest.mark.parametrize("query", ["", "  \n"])
def test_empty_query(gallery, query):
    with pytest.raises(UserError, match="query is empty"):
        gallery.search(query)


def test_top_k_below_one(gallery):
    with pytest.raises(UserError, match="top-k is 0"):
        gallery.search(QUERY, top_k=0)


def test_saved_gallery_gives_identical_results(gallery, tmp_path):
    gallery.save(tmp_path / "gallery")
    loaded = PersonGallery.load(tmp_path / "gallery")
    assert loaded.search(QUERY) == gallery.search(QUERY)
    rejected = (tmp_path / "gallery" / "rejected.jsonl").read_text().splitlines()
    assert [json.loads(line)["file_name"] for line in rejected] == ["empty.jpg", "torn.png"]
    loaded.save(tmp_path / "again")
    for file in (tmp_path / "gallery").iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()


def test_saving_again_leaves_it_alone_and_another_gallery_is_refused(gallery, tmp_path, capsys):
    gallery.save(tmp_path / "gallery")
    gallery.save(tmp_path / "gallery")
    assert "already complete" in capsys.readouterr().out
    (tmp_path / "crops" / "person_0.png").unlink()
    other = PersonGallery.from_folder(tmp_path / "crops", (gallery.model, gallery.processor))
    with pytest.raises(UserError, match="images was 8 and is now 7"):
        other.save(tmp_path / "gallery")


def test_a_gallery_is_not_searched_with_other_weights(gallery, tiny_config, tiny_processor, tmp_path):
    from modeling_unipt import UniPTModel

    gallery.save(tmp_path / "gallery")
    UniPTModel(tiny_config()).save_pretrained(tmp_path / "other")
    tiny_processor.save_pretrained(tmp_path / "other")
    with pytest.raises(UserError, match="other weights than"):
        PersonGallery.load(tmp_path / "gallery", model=tmp_path / "other")


def test_a_moved_model_can_be_named(gallery, tiny_unipt_folder, tmp_path):
    gallery.save(tmp_path / "gallery")
    moved = shutil.copytree(tiny_unipt_folder, tmp_path / "moved")
    assert PersonGallery.load(tmp_path / "gallery", model=moved).search(QUERY) == gallery.search(QUERY)


def remove_all(folder):
    shutil.rmtree(folder)


def damage_manifest(folder):
    (folder / "gallery.json").write_text("{")


def remove_manifest(folder):
    (folder / "gallery.json").unlink()


def truncate_rows(folder):
    rows = folder / "rows-00000.parquet"
    rows.write_bytes(rows.read_bytes()[:-50])


def remove_rows(folder):
    (folder / "rows-00000.parquet").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_all, "does not exist"),
        (damage_manifest, "is damaged"),
        (remove_manifest, "is not a gallery"),
        (truncate_rows, "damaged or incomplete"),
        (remove_rows, "damaged or incomplete"),
    ],
)
def test_a_damaged_gallery_is_recognised(gallery, tmp_path, damage, message):
    gallery.save(tmp_path / "gallery")
    damage(tmp_path / "gallery")
    with pytest.raises(UserError, match=message):
        PersonGallery.load(tmp_path / "gallery")


def test_a_folder_of_unreadable_images_is_refused(tmp_path, model_and_processor):
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "b.jpg").write_bytes(b"no image")
    with pytest.raises(UserError, match="none of the 2 images .* can be read; a.jpg, for example: zero bytes"):
        PersonGallery.from_folder(tmp_path, model_and_processor)


def test_batches_do_not_change_embeddings(model_and_processor):
    model, processor = model_and_processor
    texts = ["a man", "an old woman with long hair wears a blue dress", "a child", "a young man in a red coat"]
    generator = np.random.default_rng(0)
    images = [Image.fromarray(generator.integers(0, 255, (40, 20, 3), dtype=np.uint8)) for _ in range(5)]
    whole_texts, whole_images = embed_texts(model, processor, texts), embed_images(model, processor, iter(images))
    assert whole_texts.shape == (4, 24) and whole_images.shape == (5, 24)
    np.testing.assert_allclose(np.linalg.norm(whole_texts, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(embed_texts(model, processor, texts, batch_size=1), whole_texts, atol=1e-5)
    np.testing.assert_allclose(embed_images(model, processor, images, batch_size=2), whole_images, atol=1e-5)
