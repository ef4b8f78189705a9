"""PersonGallery: what it finds, in which order, by what, and how it grows and shrinks."""

import hashlib
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from modeling_unipt import PersonGallery
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.embedding import embed_images, embed_in_batches, embed_texts
from tests.helpers.people import draw_person

QUERY = "a young man in a red coat"


@pytest.fixture
def gallery(image_folder, model_and_processor):
    return PersonGallery.from_folder(image_folder, model_and_processor, batch_size=4)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


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
        assert image_folder / gallery.file_names[result.index] == image_folder / result.path
        assert result.id == gallery.ids[result.index] == sha256(image_folder / result.path)


def test_more_results_than_images(gallery):
    assert len(gallery.search(QUERY, top_k=100)) == len(gallery) == 6


def test_unreadable_files_are_left_out_with_their_reason(gallery):
    reasons = dict(gallery.rejected)
    assert sorted(reasons) == ["empty.jpg", "torn.png"]
    assert reasons["empty.jpg"] == "zero bytes"


def test_equal_scores_keep_gallery_order(tmp_path, model_and_processor):
    """The same pixels in files of different bytes: more of them than are asked for, between others."""
    names = []
    for index in range(12):
        name = f"{index:02d}.png"
        draw_person(0 if index % 2 else index).save(tmp_path / name, compress_level=index % 10)
        with open(tmp_path / name, "ab") as file:
            file.write(bytes([index]))
        names.append(name)
    gallery = PersonGallery.from_folder(tmp_path, model_and_processor, batch_size=5)
    assert gallery.file_names == names
    same = [0, 1, 3, 5, 7, 9, 11]
    for top_k in range(1, 8):
        found = gallery.search(gallery.embedding_of(5), top_k)
        assert [result.index for result in found] == same[:top_k]
        assert len({result.score for result in found}) == 1


def test_an_image_finds_itself(gallery, image_folder):
    for place, name in enumerate(gallery.file_names):
        with Image.open(image_folder / name) as image:
            for query in (image, image_folder / name, gallery.embedding_of(place), 3 * gallery.embedding_of(place)):
                best = gallery.search(query, top_k=1)[0]
                assert best.index == place and best.score == pytest.approx(1, abs=1e-5)


def test_text_and_image_score_the_mean_of_both(gallery, image_folder):
    image = image_folder / "person_2.png"
    by_text = {result.index: result.score for result in gallery.search(QUERY)}
    by_image = {result.index: result.score for result in gallery.search(image)}
    for query in ((QUERY, image), (QUERY, str(image)), (QUERY, Image.open(image))):
        found = gallery.search(query)
        assert len(found) == 6
        for result in found:
            mean = (by_text[result.index] + by_image[result.index]) / 2
            assert result.score == pytest.approx(mean, abs=1e-5)


def test_repeated_texts_are_embedded_once(gallery, monkeypatch):
    first, calls = gallery.search(QUERY), []
    monkeypatch.setattr(gallery.model, "get_text_features", lambda **inputs: calls.append(inputs))
    assert gallery.search(QUERY) == first and not calls


def test_a_query_is_searched_in_its_normal_form(gallery):
    untidy = f" \ufeff{QUERY.replace(' ', '&nbsp; ')}\n"
    assert gallery.search(untidy) == gallery.search(QUERY)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "query is empty"),
        ("  \n", "query is empty"),
        ("&nbsp;\ufeff\u200b", "query is empty"),
        (("", np.zeros(3)), "query is empty"),
        (np.zeros(24, np.float32), "24 finite numbers"),
        (np.full(24, np.nan), "24 finite numbers"),
        (np.ones(23), "24 finite numbers"),
        (7, "not int"),
    ],
)
def test_queries_that_mean_nothing(gallery, query, message):
    with pytest.raises(UserError, match=message):
        gallery.search(query)


def test_query_images_that_are_missing_or_broken(gallery, image_folder):
    with pytest.raises(UserError, match="nobody.png does not exist"):
        gallery.search(image_folder / "nobody.png")
    with pytest.raises(UserError, match="torn.png cannot be searched by: cannot be decoded"):
        gallery.search(image_folder / "torn.png")


def test_top_k_below_one(gallery):
    with pytest.raises(UserError, match="top-k is 0"):
        gallery.search(QUERY, top_k=0)


def test_adding_again_adds_nothing_and_copies_are_told(gallery, image_folder, tmp_path):
    shutil.copy(image_folder / "person_0.png", image_folder / "copy.png")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(image_folder / "person_1.png", elsewhere / "person_1.png")
    draw_person(9).save(elsewhere / "new.png")
    before = gallery.search(QUERY)

    again = gallery.add(image_folder)
    assert (again.added, again.unchanged, again.duplicates) == (0, 6, [("copy.png", "person_0.png")])
    assert [name for name, _ in again.rejected] == ["empty.jpg", "torn.png"]
    assert gallery.search(QUERY) == before

    report = gallery.add(elsewhere)
    assert report.added == 1 and report.duplicates == [(str(elsewhere / "person_1.png"), "person_1.png")]
    assert gallery.file_names[-1] == str(elsewhere / "new.png") and len(gallery) == 7
    assert gallery.search(elsewhere / "new.png", 1)[0].path == str(elsewhere / "new.png")
    assert gallery.add([elsewhere / "new.png", image_folder / "person_3.png"]).unchanged == 2


def test_a_file_with_other_bytes_replaces_what_was_there(gallery, image_folder, model_and_processor):
    draw_person(77).save(image_folder / "person_2.png")
    draw_person(78).save(image_folder / "torn.png")
    report = gallery.add(image_folder)
    assert (report.added, report.replaced) == (2, ["person_2.png"])
    assert len(gallery) == 7 and sorted(gallery.file_names) == sorted(set(gallery.file_names))
    assert dict(gallery.rejected) == {"empty.jpg": "zero bytes"}
    fresh = PersonGallery.from_folder(image_folder, model_and_processor)
    key = {result.path: round(result.score, 5) for result in fresh.search(QUERY)}
    assert {result.path: round(result.score, 5) for result in gallery.search(QUERY)} == key


def test_removed_images_are_found_no_more_and_can_come_back(gallery, image_folder):
    everything = gallery.search(QUERY)
    gone = [everything[0], everything[3]]
    names = gallery.file_names
    assert gallery.remove([names[gone[0].index], gone[1].id]) == 2
    left = gallery.search(QUERY)
    assert [(r.path, r.score) for r in left] == [(r.path, r.score) for r in everything if r not in gone]
    assert len(gallery) == 4 and [gallery.file_names[r.index] for r in left] == [names[r.index] for r in everything
        if r not in gone]  # fmt: skip
    assert gallery.search(gallery.embedding_of(1), 1)[0].index == 1
    with pytest.raises(UserError, match="no image with the file name or id .* .1 of 2 are unknown.; nothing was"):
        gallery.remove([left[0].id, names[gone[0].index]])
    assert len(gallery) == 4
    assert gallery.add(image_folder).added == 2
    assert [(r.path, r.score) for r in gallery.search(QUERY)] == [(r.path, r.score) for r in everything]


def test_everything_removed(gallery):
    assert gallery.remove(gallery.file_names) == 6
    assert gallery.search(QUERY) == [] and len(gallery) == 0 and gallery.columns == {}


def test_progress_is_told(image_folder, model_and_processor, capsys):
    told = []
    PersonGallery.from_folder(
        image_folder, model_and_processor, batch_size=3, progress=lambda done, total: told.append((done, total))
    )
    assert told == [(3, 8), (6, 8), (8, 8)] and capsys.readouterr().err == ""


def test_a_folder_of_unreadable_images_is_refused(tmp_path, model_and_processor):
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "b.jpg").write_bytes(b"no image")
    with pytest.raises(UserError, match="none of the 2 images .* can be read; a.jpg, for example: zero bytes"):
        PersonGallery.from_folder(tmp_path, model_and_processor)


def test_without_faiss_it_is_told_what_to_install(image_folder, model_and_processor, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(UserError, match=r"pip install 'unipt\[gallery\]'"):
        PersonGallery.from_folder(image_folder, model_and_processor)


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


@pytest.mark.parametrize(("of_images", "of_queries"), [("bfloat16", "float32"), ("float32", "bfloat16")])
def test_queries_of_one_format_find_images_embedded_in_another(
    image_folder, model_and_processor, tmp_path, of_images, of_queries
):
    first = PersonGallery.from_folder(image_folder, model_and_processor, dtype=of_images)
    exact = PersonGallery.from_folder(image_folder, model_and_processor)
    place = first.file_names.index("person_2.png")
    assert np.array_equal(first.embedding_of(place), exact.embedding_of(place)) == (of_images == "float32")
    first.save(tmp_path / "gallery")
    again = PersonGallery.load(tmp_path / "gallery", model_and_processor, dtype=of_queries)
    found = again.search(image_folder / "person_2.png", top_k=1)[0]
    assert found.index == place and 0.999 < found.score < 0.9999999
    scores = {result.index: result.score for result in exact.search(QUERY)}
    for result in again.search(QUERY):
        assert result.score == pytest.approx(scores[result.index], abs=0.02)


def test_a_format_that_there_is_not(image_folder, model_and_processor):
    with pytest.raises(UserError, match="dtype is 'half'; it must be one of auto, float32"):
        PersonGallery.from_folder(image_folder, model_and_processor, dtype="half")


def test_pixels_are_those_of_the_processor(model_and_processor):
    model, processor = model_and_processor
    images = [draw_person(seed, 50 + seed, 30) for seed in range(4)] + [draw_person(9).convert("L")]
    pixels = processor(images=images, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        expected = torch.nn.functional.normalize(model.get_image_features(pixels).pooler_output, dim=-1)
    np.testing.assert_allclose(embed_images(model, processor, images), expected, atol=1e-6)


def test_reading_keeps_the_order_and_stays_a_few_batches_ahead(model_and_processor):
    model, processor = model_and_processor
    taken = []

    def numbers():
        for number in range(400):
            taken.append(number)
            yield number

    def read(number):
        return number, None if number % 3 == 0 else draw_person(number)

    batches = embed_in_batches(model, processor, numbers(), read, batch_size=2)
    found = next(batches)
    assert len(taken) < 50
    found += [pair for batch in batches for pair in batch]
    assert [number for number, _ in found] == list(range(400))
    assert all((embedding is None) == (number % 3 == 0) for number, embedding in found)
    some = [number for number in range(400) if number % 3][::40]
    alone = embed_images(model, processor, [draw_person(number) for number in some])
    np.testing.assert_allclose(np.stack([found[number][1] for number in some]), alone, atol=1e-5)


def test_an_error_while_reading_reaches_the_caller(model_and_processor):
    def read(number):
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        list(embed_in_batches(*model_and_processor, range(9), read, batch_size=2))
