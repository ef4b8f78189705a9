"""What the tests of the Space share: the app started as a program, and a browser that notes what goes wrong."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

SCREENSHOTS = ROOT / "runs" / "screenshots"
PICTURES = 40
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
OFFLINE_SETTINGS = {"HF_HUB_OFFLINE", "GRADIO_ANALYTICS_ENABLED"}
# Gradio's own stream of upload progress says this to itself when it is closed.
KNOWN_WARNINGS = {"Method not implemented."}


def sample_people(folder, count=PICTURES):
    """The first pictures of luperson-t as files in ``folder``; their paths."""
    import pyarrow.parquet

    folder.mkdir(parents=True)
    table = pyarrow.parquet.read_table(ROOT / "luperson-t" / "data", columns=["image", "image_id"]).slice(0, count)
    paths = []
    for row in table.to_pylist():
        paths.append(folder / Path(row["image_id"]).with_suffix(".jpg").name)
        paths[-1].write_bytes(row["image"]["bytes"])
    return paths


# Loaded by Python at its start: notes every address off this machine that the program connects to or looks up.
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


class Server:
    """The app in a process of its own.

    Attributes:
        address: of the app. uploads: the folder that Gradio puts uploads in. process: a `subprocess.Popen`.
    """

    def __init__(self, folder, environment, app=ROOT / "space" / "app.py"):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.folder, self.uploads, self.address = folder, folder / "gradio", f"http://127.0.0.1:{port}"
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
            self.process = subprocess.Popen([sys.executable, app], cwd=folder, env=environment, stdout=log, stderr=log)
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(self.address, timeout=5).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.process.kill()
                    pytest.fail(self.log())
                time.sleep(0.3)

    def log(self):
        return (self.folder / "app.log").read_text()

    def called(self):
        """The addresses off this machine that the app connected to or looked up."""
        path = self.folder / "network.txt"
        return path.read_text().splitlines() if path.exists() else []

    def files(self):
        """What lies on disk because of users: uploads, galleries."""
        return sorted(
            str(path)
            for folder in (self.uploads, self.temporary)
            for path in folder.rglob("*")
            if path.is_file() and "matplotlib" not in str(path)
        )

    def memory(self):
        """Resident megabytes."""
        import psutil

        return psutil.Process(self.process.pid).memory_info().rss / 1e6

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=30)


@contextlib.contextmanager
def gallery_server(folder, app=ROOT / "space" / "app.py", **environment):
    """A `Server` over a gallery of sample people, seen by eight cameras, with the shipped models."""
    import pyarrow

    from modeling_unipt import PersonGallery

    names = [path.name for path in sample_people(folder / "crops")]
    metadata = pyarrow.table({"file_name": names, "camera": [number % 8 for number in range(len(names))]})
    gallery = PersonGallery.from_folder(folder / "crops", str(ROOT / "unipt" / "unipt-tiny"), metadata=metadata)
    gallery.save(folder / "gallery")
    server = Server(folder, {"UNIPT_GALLERY": str(folder / "gallery"), **environment}, app)
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def open_browser(folder):
    """Chromium, or a skipped test where there is none."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = CHROMIUM if CHROMIUM.exists() else Path(playwright.chromium.executable_path)
        if not chromium.exists():
            pytest.skip("no Chromium; install it with apt-get install chromium or playwright install chromium")
        browser = playwright.chromium.launch_persistent_context(
            str(folder), executable_path=str(chromium), args=CHROMIUM_OPTIONS, accept_downloads=True
        )
        yield browser
        browser.close()


@contextlib.contextmanager
def watched_page(browser, address, width, query=""):
    """A page with the app; afterwards nothing may have been logged as an error or asked of another host."""
    requested, complaints = [], []
    page = browser.new_page()
    page.set_viewport_size({"width": width, "height": 900})
    page.set_default_timeout(30_000)
    page.on("request", lambda sent: requested.append(sent.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None,
    )
    page.goto(address + query)
    page.get_by_label("Description").first.wait_for()
    yield page
    page.close()
    assert [text for text in complaints if text not in KNOWN_WARNINGS] == []
    assert [url for url in requested if not url.startswith((address, "data:", "blob:"))] == []


def picture_of(page, name):
    """Keep a picture of the whole page among the artefacts, and check that nothing sticks out at the side."""
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}-{page.viewport_size['width']}.png", full_page=True)


def all_loaded(page, selector):
    """Whether every picture that ``selector`` finds is there and has been decoded."""
    return page.evaluate(
        "selector => [...document.querySelectorAll(selector)].every(image => image.complete && image.naturalWidth)",
        selector,
    )
