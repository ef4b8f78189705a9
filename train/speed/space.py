"""The app under load: eight people search at once in the app that `make app` starts; a part of `make bench`.

Each sends searches one after the other to the endpoint /search over the loopback. All searches are different, so
nothing is answered from memory. The app runs on this machine and shares its cores with those who ask.
"""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from modeling_unipt.common.user_errors import UserError
from unipt_train.speed.figures import Figure
from unipt_train.studies.commands import ROOT

USERS = 8
SEARCHES = 25
RESULTS = 10
START_SECONDS = 180
WORDS = {
    "who": ["a man", "a woman", "somebody", "an old man", "a young woman"],
    "colour": ["red", "blue", "green", "white", "black", "yellow", "purple", "gray"],
    "what": ["coat", "shirt", "hoodie", "dress", "jacket", "t-shirt"],
}


@contextlib.contextmanager
def app(environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Run the app in a process of its own, and give its address.

    Args:
        environment: variables beside those of this process.

    Raises:
        UserError: it does not answer within three minutes; the end of its output is quoted.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"GRADIO_SERVER_PORT": str(port), "GRADIO_SERVER_NAME": "127.0.0.1", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "space" / "app.py")],
            env=os.environ | settings | dict(environment or {}),
            stdout=log,
            stderr=log,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + START_SECONDS
            while not _answers(address):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    end = log.read().decode(errors="replace")[-2000:]
                    raise UserError(f"the app did not start; its output ends so: {end}")
                time.sleep(0.3)
            yield address
        finally:
            process.terminate()
            process.wait(timeout=30)


def _answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=5).close()
    except OSError:
        return False
    return True


def query(user: int, number: int) -> str:
    """A description that no other user or number gives."""
    rng = np.random.default_rng([user, number])
    who, colour, what = (words[rng.integers(len(words))] for words in WORDS.values())
    return f"{who} in a {colour} {what}, number {number} of user {user}"


def search(connection: http.client.HTTPConnection, text: str) -> list[Any]:
    """The answer of the endpoint /search over an open connection, as gradio_client asks for it.

    Raises:
        UserError: the app answered with an error.
    """
    body = json.dumps({"data": [text, RESULTS]})
    connection.request("POST", "/gradio_api/call/search", body, {"Content-Type": "application/json"})
    event = json.loads(connection.getresponse().read())["event_id"]
    connection.request("GET", f"/gradio_api/call/search/{event}")
    # Two lines, "event: ..." and "data: ..."; before them there may be heartbeats.
    last = connection.getresponse().read().decode().strip().split("\n")[-2:]
    kind, data = (line.partition(": ")[2] for line in last)
    if kind != "complete":
        raise UserError(f"the app answered: {kind} {data}")
    return json.loads(data)[0]


@dataclass
class Load:
    """What searches took in milliseconds, failed ones too, and what failed."""

    taken_ms: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def load(address: str, users: int = USERS, searches: int = SEARCHES) -> Load:
    """Let ``users`` search at once, each ``searches`` times."""
    found = Load()
    # Nobody begins before all are connected.
    start = threading.Barrier(users)

    def use(user: int) -> None:
        with contextlib.closing(http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)) as connection:
            connection.connect()
            start.wait()
            for number in range(searches):
                begun = time.perf_counter()
                try:
                    results = search(connection, query(user, number))
                    if len(results) != RESULTS:
                        raise UserError(f"{len(results)} results instead of {RESULTS}")
                except Exception as error:  # whatever it is, the request failed
                    found.failed.append(f"{type(error).__name__}: {error}")
                found.taken_ms.append(1000 * (time.perf_counter() - begun))

    threads = [threading.Thread(target=use, args=(user,)) for user in range(users)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def measure(folder: Path) -> Iterator[Figure]:
    """Measure searches of eight users at once; ``folder`` is not used."""
    with app() as address:
        # The first searches load what the app loads on first use.
        load(address, users=2, searches=2)
        found = load(address)
    name = f"search in the app with {USERS} users at once"
    yield Figure(f"{name}, p50", float(np.percentile(found.taken_ms, 50)), "ms")
    yield Figure(f"{name}, p95", float(np.percentile(found.taken_ms, 95)), "ms", at_most=500)
    yield Figure(f"failed requests in the app, of {len(found.taken_ms)}", len(found.failed))
