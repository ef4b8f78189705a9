"""What the tests of the Space share: the app as a program, and a browser that notes what goes wrong."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pyarrow
import pyarrow.parquet
import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, sync_playwright

from modeling_unipt import PersonGallery
from tests.helpers.get_chromium import MEND, find_chromium
from tests.helpers.paths import ROOT

SCREENSHOTS = ROOT / "runs" / "screenshots"
MODEL = ROOT / "unipt" / "unipt-tiny"
APP = ROOT / "space" / "app.py"
IMAGES = 40
CAMERAS = 8
START_SECONDS = 120
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
OFFLINE_SETTINGS = {"HF_HUB_OFFLINE", "GRADIO_ANALYTICS_ENABLED"}
# Gradio's own stream of upload progress says this to itself when it is closed.
KNOWN_WARNINGS = {"Method not implemented."}

# Python loads this when it starts: it notes every address off this machine that the program connects to or looks up.
NETWORK_GUARD = """
import socket
def noting(function, place):
    def noted(*arguments, **options):
        address = str(arguments[place])
        if not any(local in address for local in ("127.0.0.1", "localhost", "::1", "0.0.0.0")) and address != "None":
            open({path!r}, "a").write(address + "\\n")
        return function(*arguments, **options)
    return noted
socket.socket.connect = noting(socket.socket.connect, 1)
socket.getaddrinfo = noting(socket.getaddrinfo, 0)
"""


def sample_people(folder: Path, count: int = IMAGES) -> list[Path]:
    """Write the first images of luperson-t as files into the new ``folder``; their paths."""
    folder.mkdir(parents=True)
    table = pyarrow.parquet.read_table(ROOT / "luperson-t" / "data", columns=["image", "image_id"]).slice(0, count)
    paths = []
    for row in table.to_pylist():
        path = folder / Path(row["image_id"]).with_suffix(".jpg").name
        path.write_bytes(row["image"]["bytes"])
        paths.append(path)
    return paths


class Server:
    """The app in a process of its own.

    Args:
        folder: the working folder of the app, for its files and its log.
        environment: variables in addition to those of this process.
        program: what Python runs.

    Attributes:
        address: the URL of the app.
        uploads: the folder in which Gradio keeps uploads.
    """

    def __init__(self, folder: Path, environment: dict[str, str], program: Sequence[str | Path] = (APP,)) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.folder = folder
        self.address = f"http://127.0.0.1:{port}"
        self.uploads = folder / "gradio"
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        (folder / "guard").mkdir()
        (folder / "guard" / "sitecustomize.py").write_text(NETWORK_GUARD.format(path=str(folder / "network.txt")))
        paths = [str(folder / "guard"), environment.get("PYTHONPATH", os.environ.get("PYTHONPATH", ""))]
        # What keeps the tests off the network must not be what keeps the app off it.
        free_to_call = {name: value for name, value in os.environ.items() if name not in OFFLINE_SETTINGS}
        environment = {
            **free_to_call,
            **environment,
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "GRADIO_SERVER_PORT": str(port),
            "GRADIO_SERVER_NAME": "127.0.0.1",
            "GRADIO_TEMP_DIR": str(self.uploads),
            "TMPDIR": str(self.temporary),
            "OMP_NUM_THREADS": "1",
        }
        with open(folder / "app.log", "w") as log:
            self.process = subprocess.Popen(
                [sys.executable, *program], cwd=folder, env=environment, stdout=log, stderr=log
            )
        self._wait_for_the_page()

    def _wait_for_the_page(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                urllib.request.urlopen(self.address, timeout=5).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.process.kill()
                    pytest.fail(self.log())
                time.sleep(0.3)

    def log(self) -> str:
        return (self.folder / "app.log").read_text()

    def called(self) -> list[str]:
        """The addresses off this machine that the app connected to or looked up."""
        path = self.folder / "network.txt"
        return path.read_text().splitlines() if path.exists() else []

    def files(self) -> list[str]:
        """What lies on disk because of users: uploads and galleries."""
        found = [*self.uploads.rglob("*"), *self.temporary.rglob("*")]
        return sorted(str(path) for path in found if path.is_file() and "matplotlib" not in str(path))

    def memory(self) -> float:
        """Resident megabytes."""
        return psutil.Process(self.process.pid).memory_info().rss / 1e6

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=30)


@contextlib.contextmanager
def gallery_server(folder: Path, program: Sequence[str | Path] = (APP,), **environment: str) -> Iterator[Server]:
    """The app over a gallery of sample people, seen by eight cameras, with the shipped models."""
    names = [path.name for path in sample_people(folder / "crops")]
    cameras = [number % CAMERAS for number in range(len(names))]
    metadata = pyarrow.table({"file_name": names, "camera": cameras})
    PersonGallery.from_folder(folder / "crops", str(MODEL), metadata=metadata).save(folder / "gallery")
    server = Server(folder, {"UNIPT_GALLERY": str(folder / "gallery"), **environment}, program)
    try:
        yield server
    finally:
        server.stop()


def chromium_or_skip() -> Path:
    """The program of a Chromium. Without one the test is skipped, or fails where browser tests must not be missing."""
    chromium = find_chromium()
    if chromium:
        return chromium
    sentence = f"this test needs Chromium, and there is none; {MEND}"
    if os.environ.get("CI") or os.environ.get("UNIPT_BROWSER_TESTS") == "required":
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)


@contextlib.contextmanager
def open_browser(profile: Path) -> Iterator[BrowserContext]:
    """A Chromium that keeps its profile in a folder; see `chromium_or_skip`."""
    chromium = chromium_or_skip()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch_persistent_context(
            str(profile), executable_path=str(chromium), args=CHROMIUM_OPTIONS, accept_downloads=True
        )
        yield browser
        browser.close()


@contextlib.contextmanager
def watched_page(browser: BrowserContext, address: str, width: int, query: str = "") -> Iterator[Page]:
    """A page with the app. At its end no error may have been logged, and no other host been asked for anything."""
    requested = []
    complaints = []

    def note_message(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    page = browser.new_page()
    page.set_viewport_size({"width": width, "height": 900})
    page.set_default_timeout(30_000)
    page.on("request", lambda sent: requested.append(sent.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", note_message)
    page.goto(address + query)
    page.get_by_label("Description").first.wait_for()
    yield page
    page.close()
    assert [text for text in complaints if text not in KNOWN_WARNINGS] == []
    assert [url for url in requested if not url.startswith((address, "data:", "blob:"))] == []


def keep_screenshot(page: Page, name: str) -> None:
    """Keep an image of the whole page in runs/screenshots, and check that nothing sticks out at the side."""
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}-{page.viewport_size['width']}.png", full_page=True)


def all_loaded(page: Page, selector: str) -> bool:
    """Whether every image that ``selector`` finds is there and has been decoded."""
    return page.evaluate(
        "selector => [...document.querySelectorAll(selector)].every(image => image.complete && image.naturalWidth)",
        selector,
    )
