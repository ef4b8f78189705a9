"""The Space as a user meets it: started as a program, used through gradio_client and through a real browser."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from conftest import draw_person

ROOT = Path(__file__).parents[1]
PICTURES = 12
CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def start(environment, folder):
    """The app's process, once it answers, and its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, **environment, "GRADIO_SERVER_PORT": str(port), "GRADIO_SERVER_NAME": "127.0.0.1"}
    environment["GRADIO_TEMP_DIR"] = str(folder / "gradio")
    with open(folder / "app.log", "w") as log:
        process = subprocess.Popen(
            [sys.executable, ROOT / "space" / "app.py"], cwd=folder, env=environment, stdout=log, stderr=log
        )
    address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return process, address
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                pytest.fail((folder / "app.log").read_text())
            time.sleep(0.3)


@pytest.fixture(scope="module")
def app(tmp_path_factory, tiny_unipt_folder):
    """Address of the app over a gallery of drawn people."""
    from modeling_unipt import PersonGallery

    folder = tmp_path_factory.mktemp("space")
    (folder / "crops").mkdir()
    for index in range(PICTURES):
        draw_person(index, 192, 64).save(folder / "crops" / f"person_{index:02d}.png")
    PersonGallery.from_folder(folder / "crops", tiny_unipt_folder).save(folder / "gallery")
    process, address = start({"UNIPT_GALLERY": str(folder / "gallery")}, folder)
    yield address
    process.terminate()
    process.wait(timeout=30)


@pytest.fixture(scope="module")
def client(app):
    from gradio_client import Client

    return Client(app, verbose=False)


def test_the_search_endpoint_ranks(client):
    results = client.predict("a man in a red coat", 5, api_name="/search")
    assert [result["rank"] for result in results] == [1, 2, 3, 4, 5]
    scores = [result["score"] for result in results]
    assert scores == sorted(scores, reverse=True)
    assert {result["file_name"] for result in results} <= {f"person_{index:02d}.png" for index in range(PICTURES)}


def test_ten_results_are_the_default_and_search_is_the_only_endpoint(client):
    assert len(client.predict("an old woman", api_name="/search")) == 10
    assert list(client.view_api(return_format="dict")["named_endpoints"]) == ["/search"]


@pytest.mark.parametrize(
    ("request_", "message"),
    [(("  ", 5), "query is empty"), (("a man", 0), "between 1 and 50"), (("a man " * 500, 5), "3000 characters")],
)
def test_the_endpoint_refuses_in_a_sentence(client, request_, message):
    with pytest.raises(Exception, match=message):
        client.predict(*request_, api_name="/search")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = CHROMIUM if CHROMIUM.exists() else Path(playwright.chromium.executable_path)
        if not chromium.exists():
            pytest.skip("no Chromium; install it with apt-get install chromium or playwright install chromium")
        browser = playwright.chromium.launch_persistent_context(
            str(tmp_path_factory.mktemp("profile")), executable_path=str(chromium), args=CHROMIUM_OPTIONS
        )
        yield browser
        browser.close()


@pytest.fixture(params=[1280, 360], ids=["desktop", "phone"])
def page(app, browser, request):
    """A page with the app; afterwards nothing may have been logged as an error or asked of another host."""
    requested, complaints = [], []
    page = browser.new_page()
    page.set_viewport_size({"width": request.param, "height": 900})
    page.set_default_timeout(30_000)
    page.on("request", lambda sent: requested.append(sent.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None,
    )
    page.goto(app)
    page.get_by_label("Description").wait_for()
    yield page
    page.close()
    assert complaints == []
    assert [url for url in requested if not url.startswith((app, "data:", "blob:"))] == []


def test_type_search_and_see_results(page):
    assert page.get_by_text("The results are suggestions to look at, not identifications").is_visible()
    page.get_by_label("Description").fill("a young man in a red coat")
    page.get_by_role("button", name="Search").click()
    page.get_by_text("The best 10 of 12 pictures").wait_for()
    pictures = page.locator("#results .thumbnail-item img")
    pictures.nth(9).wait_for()
    assert pictures.count() == 10
    for picture in (pictures.first, pictures.last):
        picture.scroll_into_view_if_needed()  # they load when they come into view
        page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=picture.element_handle())
    first = pictures.first.bounding_box()
    assert first["width"] > 60 and first["height"] > 2 * first["width"]
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.locator("#results").get_by_text("1: ").first.is_visible()


def test_an_example_can_be_searched_with_the_keyboard(page):
    page.get_by_role("button", name="Somebody in a yellow hoodie").click()
    box = page.get_by_label("Description")
    page.wait_for_function("document.querySelector('textarea').value.startsWith('Somebody in a yellow hoodie')")
    box.press("Enter")
    page.get_by_text("The best 10 of 12 pictures").wait_for()


def test_an_empty_query_is_told(page):
    page.get_by_role("button", name="Search").click()
    page.get_by_text("The query is empty; describe a person").wait_for()
    assert page.locator("#results img").count() == 0


def test_a_missing_gallery_stops_the_start_with_a_sentence(tmp_path):
    environment = {**os.environ, "UNIPT_GALLERY": str(tmp_path / "missing")}
    finished = subprocess.run(
        [sys.executable, ROOT / "space" / "app.py"], env=environment, capture_output=True, text=True, timeout=120
    )
    assert finished.returncode == 2
    assert finished.stderr.startswith("error: gallery") and finished.stderr.count("\n") == 1


def test_without_a_gallery_the_sample_dataset_is_served(tiny_unipt_folder, tmp_path, monkeypatch):
    import importlib.util
    import io

    import pyarrow
    import pyarrow.parquet

    rows = []
    for index in range(4):
        encoded = io.BytesIO()
        draw_person(index).save(encoded, "PNG")
        rows.append({"image": {"bytes": encoded.getvalue(), "path": None}, "image_id": f"id-{index}"})
    (tmp_path / "luperson-t" / "data").mkdir(parents=True)
    pyarrow.parquet.write_table(
        pyarrow.Table.from_pylist(rows), tmp_path / "luperson-t" / "data" / "train-00000-of-00001.parquet"
    )
    spec = importlib.util.spec_from_file_location("space_app", ROOT / "space" / "app.py")
    space_app = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(space_app)
    monkeypatch.setattr(space_app, "ROOT", tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("UNIPT_GALLERY", raising=False)
    monkeypatch.setenv("UNIPT_MODEL", str(tiny_unipt_folder))
    people = space_app.load_people()
    results = people.search("a man", 4)
    assert {people.gallery.file_names[result.index] for result in results} == {f"id-{index}" for index in range(4)}
    for result in results:
        expected = draw_person(int(people.gallery.file_names[result.index].removeprefix("id-")))
        assert people.picture_of(result).tobytes() == expected.tobytes()
