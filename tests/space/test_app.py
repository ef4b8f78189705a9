"""The Space as a user meets it: started as a program, used through gradio_client and through a real browser."""

import io
import re
import subprocess
import sys
import zipfile
from os import environ

import pyarrow
import pyarrow.parquet
import pytest
from gradio_client import Client, handle_file

from modeling_unipt import PersonGallery, UniPTModel
from tests.helpers.people import draw_person
from tests.helpers.space_server import (
    APP,
    CAMERAS,
    IMAGES,
    MODEL,
    all_loaded,
    gallery_server,
    keep_screenshot,
    open_browser,
    sample_people,
    watched_page,
)
from unipt_space import people, results
from unipt_train.speed.space import load

QUERY = "A man in a red coat and black trousers with a backpack."


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with gallery_server(tmp_path_factory.mktemp("space")) as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    return Client(server.address, verbose=False)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with open_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(params=[1280, 360], ids=["desktop", "phone"])
def page(server, browser, request):
    with watched_page(browser, server.address, request.param) as page:
        yield page


def archive_of(paths, folder, others=()):
    with zipfile.ZipFile(folder / "people.zip", "w") as archive:
        for path in paths:
            archive.write(path, f"cam/{path.name}")
        for name, content in others:
            archive.writestr(name, content)
    return folder / "people.zip"


def test_the_search_endpoint_ranks(client):
    results = client.predict("a man in a red coat", 5, api_name="/search")
    assert [result["rank"] for result in results] == [1, 2, 3, 4, 5]
    scores = [result["score"] for result in results]
    assert scores == sorted(scores, reverse=True) and all(-1 <= score <= 1 for score in scores)
    assert len({result["file_name"] for result in results}) == 5


def test_ten_results_are_the_default_and_two_endpoints_are_documented(client):
    assert len(client.predict("an old woman", api_name="/search")) == 10
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert list(endpoints) == ["/search", "/describe"]
    assert all(endpoint["description"] for endpoint in endpoints.values())


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (("  ", 5), "query is empty"),
        (("&nbsp;\ufeff", 5), "query is empty"),
        (("a man", 0), "between 1 and 50"),
        (("a man", 51), "between 1 and 50"),
        (("man " * 10_000, 5), "40000 characters"),
    ],
)
def test_the_endpoint_refuses_in_a_sentence(client, request_, message):
    with pytest.raises(Exception, match=message):
        client.predict(*request_, api_name="/search")


@pytest.mark.parametrize("query", ["🧥👖", "رجل يرتدي معطفا أحمر", "<img src=x onerror=alert(1)>", "a\x00man\n\n", "’"])
def test_odd_queries_are_searched(client, query):
    assert len(client.predict(query, 3, api_name="/search")) == 3


def test_the_describe_endpoint_gives_what_captions_rest_on(server, client):
    path = sorted((server.folder / "crops").iterdir())[0]
    described = client.predict(handle_file(path), api_name="/describe")
    assert len(described["captions"]) == 3
    attributes = described["attributes"]
    assert {"upper_colour", "lower_garment", "hat"} <= attributes.keys() and not {"age", "gender"} & attributes.keys()
    for attribute in attributes.values():
        probabilities = attribute["probabilities"]
        assert sum(probabilities.values()) == pytest.approx(1, abs=0.01)
        assert list(probabilities.values()) == sorted(probabilities.values(), reverse=True)
        assert (attribute["stated"] is None) == (attribute["reason"] is not None)
        if attribute["stated"]:
            assert next(iter(probabilities)) == attribute["stated"]
            assert probabilities[attribute["stated"]] >= round(attribute["threshold"], 4)
    guessed = client.predict(handle_file(path), True, api_name="/describe")
    assert {"age", "gender"} <= guessed["attributes"].keys()


def test_describe_refuses_what_is_no_upload_or_no_image(client, tmp_path):
    with pytest.raises(Exception, match="no such upload"):
        client.predict({"path": "/etc/passwd"}, api_name="/describe")
    for name, content in (("page.jpg", b"<html><script>alert(1)</script>"), ("drawing.png", b"<svg xmlns='x'/>")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Exception, match="content is not an image"):
            client.predict(handle_file(tmp_path / name), api_name="/describe")


def test_search_pick_a_result_and_see_why(page):
    assert page.get_by_text("The results are suggestions to look at, not identifications").is_visible()
    page.get_by_label("Description").first.fill(QUERY)
    page.locator("#search-go").click()
    page.get_by_text(f"The 10 best of {IMAGES} images").wait_for()
    images = page.locator("#search-results img")
    assert images.count() == 10 and all_loaded(page, "#search-results img")
    assert all(alt.startswith("Result ") for alt in images.evaluate_all("images => images.map(image => image.alt)"))
    first = images.first.bounding_box()
    assert first["width"] > 60 and first["height"] > 2 * first["width"]

    page.locator("#search-results .pick").nth(1).click()
    page.locator("#search-why figure").nth(3).wait_for()
    captions = page.locator("#search-why figcaption").all_inner_texts()
    assert [caption.split("\n")[0] for caption in captions] == [
        "the image", "man", "red coat", "black trousers", "backpack"
    ]  # fmt: skip
    assert all_loaded(page, "#search-why img")
    sources = page.locator("#search-why img").evaluate_all("images => images.map(image => image.src)")
    assert len(set(sources)) >= 3  # two phrases that nothing answers to leave the same dark image
    assert page.evaluate("document.activeElement.className") == "panel"
    keep_screenshot(page, "search")

    page.locator("#search-why").get_by_role("button", name="More like this").click()
    page.get_by_text(f"The 10 most similar of {IMAGES} images").wait_for()
    assert page.locator("#search-why figure").count() == 0


def test_filters_choose_who_is_searched(page):
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("camera").click()
    page.get_by_role("option", name="3").click()
    page.get_by_label("Description").first.fill("a man")
    page.locator("#search-go").click()
    page.get_by_text(f"The {IMAGES // CAMERAS} best of {IMAGES} images, filtered").wait_for()
    assert page.locator("#search-results img").count() == IMAGES // CAMERAS


def test_the_keyboard_is_enough(page):
    page.get_by_role("button", name="Somebody in a yellow hoodie").click()
    box = page.get_by_label("Description").first
    page.wait_for_function("document.querySelector('textarea').value.startsWith('Somebody in a yellow hoodie')")
    box.press("Enter")
    page.get_by_text(f"The 10 best of {IMAGES} images").wait_for()
    page.locator("#search-results .pick").first.focus()
    page.keyboard.press("Enter")
    page.locator("#search-why figure").nth(1).wait_for()
    page.locator("#search-why").get_by_role("button", name="Close").focus()
    page.keyboard.press("Enter")
    page.locator("#search-why figure").first.wait_for(state="detached")


def test_a_query_is_never_rendered_and_mistakes_are_told(page):
    box = page.get_by_label("Description").first
    page.locator("#search-go").click()
    page.get_by_text("The query is empty; describe a person").wait_for()
    box.fill("<b id='evil'>a man</b> in a <img src=x onerror=window.evil=1> hat")
    page.locator("#search-go").click()
    page.locator("#search-results .pick").first.click()
    page.locator("#search-why figure").nth(1).wait_for()
    assert page.locator("#evil").count() == 0 and page.evaluate("window.evil") is None
    box.fill("man " * 10_000)
    page.locator("#search-go").click()
    page.get_by_text("The description has 40000 characters; 2000 are the most").wait_for()
    assert page.locator("#search-results img").count() == 0


def test_describe_a_picked_and_an_uploaded_image(page, server):
    page.get_by_role("tab", name="Describe").click()
    page.locator("#describe-samples .pick").nth(2).click()
    output = page.locator("#describe-output")
    output.locator(".captions li").nth(2).wait_for()
    assert output.locator(".fact").count() >= 5
    assert output.get_by_text("upper colour", exact=True).count() == 1
    assert output.get_by_text("gender", exact=True).count() == 0
    for stage in ("Divide.", "Conquer.", "Combine."):
        assert output.get_by_text(stage).is_visible()
    keep_screenshot(page, "describe")
    page.get_by_label("Also guess age and gender").check()
    output.get_by_text("14 attributes").wait_for()
    assert output.get_by_text("gender", exact=True).count() + output.get_by_text("age", exact=True).count() >= 1

    before = output.locator("> * img, section > img").first.get_attribute("src")
    page.locator("#describe-upload input[type=file]").set_input_files(sorted((server.folder / "crops").iterdir())[7])
    page.wait_for_function(
        "before => { const image = document.querySelector('#describe-output section > img');"
        " return image && image.src !== before; }",
        arg=before,
    )
    assert len(output.locator(".captions li").first.inner_text()) > 10


def test_upload_a_zip_search_it_and_take_the_index(page, tmp_path):
    paths = sample_people(tmp_path / "people", 12)
    evil = [("<b class=evil>x</b>.html", "<html>"), ("notes.txt", "nothing")]
    page.get_by_role("tab", name="Your gallery").click()
    (tmp_path / "page.jpg").write_bytes(b"<html>")
    page.locator("#own-upload input[type=file]").set_input_files(tmp_path / "page.jpg")
    page.get_by_text("There is no image among the files; page.jpg: its content is not an image").wait_for()
    page.locator("#own-upload input[type=file]").set_input_files(archive_of(paths, tmp_path, evil))
    page.get_by_text("Your gallery has 12 images. 2 files could not be used: <b class=evil>x</b>.html").wait_for()
    assert page.locator(".evil").count() == 0
    page.locator("#own-query textarea").fill("a woman in a blue dress")
    page.locator("#own-go").click()
    page.get_by_text("The 10 best of 12 images").wait_for()
    assert all_loaded(page, "#own-results img")
    keep_screenshot(page, "own-gallery")
    page.locator("#own-results .pick").first.click()
    page.locator("#own-why figure").nth(1).wait_for()
    with page.expect_download() as downloading:
        page.locator("#own-download").click()
    downloading.value.save_as(tmp_path / "index.zip")

    zipfile.ZipFile(tmp_path / "index.zip").extractall(tmp_path / "index")
    gallery = PersonGallery.load(tmp_path / "index" / "gallery", str(MODEL))
    assert sorted(gallery.file_names) == sorted(f"cam/{path.name}" for path in paths)
    assert len(gallery.search("a woman in a blue dress", 3)) == 3


def test_two_users_have_two_galleries(server, browser, tmp_path):
    paths = sample_people(tmp_path / "people", 10)
    with watched_page(browser, server.address, 1280) as one, watched_page(browser, server.address, 1280) as other:
        for page, files in ((one, paths[:3]), (other, paths[3:])):
            page.bring_to_front()  # Chromium lets what nobody looks at wait
            page.get_by_role("tab", name="Your gallery").click()
            page.locator("#own-upload input[type=file]").set_input_files(files)
            page.get_by_text(f"Your gallery has {len(files)} images").wait_for()
        for page, count in ((one, 3), (other, 7)):
            page.bring_to_front()
            page.locator("#own-query textarea").fill("a man")
            page.locator("#own-go").click()
            page.get_by_text(f"The {count} best of {count} images").wait_for()


def test_how_good_it_is_shows_the_cards_table(page):
    page.get_by_role("tab", name="How good is it").click()
    page.get_by_text("this checkpoint").wait_for()
    assert page.get_by_role("cell", name="71.25").or_(page.locator("table td")).first.is_visible()
    assert page.get_by_alt_text("pretrained loss").first.is_visible()
    keep_screenshot(page, "quality")


def test_dark_mode_is_readable(server, browser):
    with watched_page(browser, server.address, 1280, "?__theme=dark") as page:
        colours = page.locator("#head p").evaluate(
            "text => [text, document.querySelector('gradio-app')].map((part) => getComputedStyle(part))"
            ".map((style, place) => place ? style.backgroundColor : style.color)"
        )
        keep_screenshot(page, "dark")
    ink, paper = (_luminance(page_colour) for page_colour in colours)
    assert (ink + 0.05) / (paper + 0.05) > 4.5, colours


def _luminance(colour):
    """Relative luminance (WCAG) of an rgb(...) or color(srgb ...) text."""
    numbers = [float(number) for number in re.findall(r"[\d.]+", colour)[:3]]
    shares = numbers if colour.startswith("color(") else [number / 255 for number in numbers]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_four_users_at_once_are_all_served(server):
    found = load(server.address, users=4, searches=5)
    assert found.failed == [] and len(found.taken_ms) == 20
    # unipt_train/speed/space.py measures; here cores may be busy.
    assert sorted(found.taken_ms)[int(0.95 * len(found.taken_ms))] < 1500


def test_nothing_went_wrong_on_the_server_and_nobody_was_called(server):
    assert "Traceback" not in server.log()
    assert server.called() == []
    look_up = "import socket\ntry: socket.getaddrinfo('example.invalid', 80)\nexcept OSError: pass"
    guarded = environ | {"PYTHONPATH": str(server.folder / "guard")}
    subprocess.run([sys.executable, "-c", look_up], env=guarded, check=True)
    assert server.called() == ["example.invalid"], "the guard that notes calls does not work"


@pytest.mark.parametrize(
    ("variable", "message", "program"),
    [("UNIPT_GALLERY", "error: gallery", ["-m", "unipt_space.app"]), ("UNIPT_SCORER", "error: scorer", [APP])],
    ids=["gallery", "scorer"],
)
def test_a_missing_gallery_or_scorer_stops_the_start_with_a_sentence(tmp_path, variable, message, program, monkeypatch):
    monkeypatch.setenv(variable, str(tmp_path / "missing"))
    if variable == "UNIPT_SCORER":
        sample_people(tmp_path / "crops", 2)
        gallery = PersonGallery.from_folder(tmp_path / "crops", str(MODEL))
        gallery.save(tmp_path / "gallery")
        monkeypatch.setenv("UNIPT_GALLERY", str(tmp_path / "gallery"))
    finished = subprocess.run(
        [sys.executable, *program], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120
    )
    assert finished.returncode == 2
    assert finished.stderr.startswith(message) and finished.stderr.count("\n") == 1


def test_without_a_gallery_the_sample_dataset_is_served(tmp_path, monkeypatch, tiny_unipt_folder):
    rows = []
    for index in range(4):
        encoded = io.BytesIO()
        draw_person(index).save(encoded, "PNG")
        attributes = {"gender": "man", "hat": ["a cap", None][index % 2]}
        rows.append(
            {"image": {"bytes": encoded.getvalue(), "path": None}, "image_id": f"id-{index}", "attributes": attributes}
        )
    (tmp_path / "luperson-t" / "data").mkdir(parents=True)
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist(rows), tmp_path / "luperson-t" / "data" / "train-00000-of-00001.parquet"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    served = people.load_people(None, str(tiny_unipt_folder))
    results = served.search("a man", 4)
    assert {served.names[result.index] for result in results} == {f"id-{index}" for index in range(4)}
    for result in results:
        expected = draw_person(int(served.names[result.index].removeprefix("id-")))
        assert served.image(result.index).tobytes() == expected.tobytes()
    assert served.gallery.columns == {"hat": ["a cap"]}  # nobody's gender is something to filter by
    filtered = served.search("a man", 4, {"hat": ["a cap"]})
    assert sorted(served.names[result.index] for result in filtered) == ["id-0", "id-2"]
    alike = served.alike(1, 2)
    assert len(alike) == 2 and 1 not in [result.index for result in alike]


def test_a_model_without_heat_maps_is_explained(tiny_config, tiny_processor, tmp_path):
    """The panel of an image says so, and holds the image alone."""
    UniPTModel(tiny_config(pooling="class")).save_pretrained(tmp_path)
    tiny_processor.save_pretrained(tmp_path)
    served = people.load_people(None, str(tmp_path))
    panel = results.explanation(served, 0, QUERY, ["red coat"])
    assert results.NO_MAPS in panel and results.EXPLANATION not in panel and panel.count("<figure>") == 1
