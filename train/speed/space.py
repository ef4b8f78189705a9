"""Measure the app under load: eight people search at once, over the loopback, in the app that `make app` starts.

    python train/bench_space.py

Each sends its searches one after the other to the endpoint /search, all of them different, so nothing is answered from
memory. The app runs on this machine and shares its cores with those who ask.
"""

import argparse
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

import numpy as np

from modeling_unipt.common.user_errors import UserError, run_command
from unipt_train.studies.commands import ROOT

USERS, SEARCHES, START_S = 8, 25, 180
WORDS = {
    "who": ["a man", "a woman", "somebody", "an old man", "a young woman"],
    "colour": ["red", "blue", "green", "white", "black", "yellow", "purple", "gray"],
    "what": ["coat", "shirt", "hoodie", "dress", "jacket", "t-shirt"],
}


@contextlib.contextmanager
def app(environment=None):
    """The app in a process of its own; gives its address, and ends it.

    Raises:
        UserError: it does not answer within three minutes; the end of what it said is told.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"GRADIO_SERVER_PORT": str(port), "GRADIO_SERVER_NAME": "127.0.0.1", "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "space" / "app.py")],
            env=os.environ | settings | (environment or {}),
            stdout=log,
            stderr=log,
        )
        try:
            address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + START_S
            while not _answers(address):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    said = log.read().decode(errors="replace")[-2000:]
                    raise UserError(f"the app did not start; it said: {said}")
                time.sleep(0.3)
            yield address
        finally:
            process.terminate()
            process.wait(timeout=30)


def _answers(address):
    try:
        urllib.request.urlopen(address, timeout=5).close()
    except OSError:
        return False
    return True


def query(user, number):
    """A description that no other user or number gives."""
    rng = np.random.default_rng([user, number])
    who, colour, what = (words[rng.integers(len(words))] for words in WORDS.values())
    return f"{who} in a {colour} {what}, number {number} of user {user}"


def search(connection, text):
    """The answer of the endpoint /search over an open `http.client.HTTPConnection`, as gradio_client asks for it."""
    body = json.dumps({"data": [text, 10]})
    connection.request("POST", "/gradio_api/call/search", body, {"Content-Type": "application/json"})
    event = json.loads(connection.getresponse().read())["event_id"]
    connection.request("GET", f"/gradio_api/call/search/{event}")
    last = connection.getresponse().read().decode().strip().split("\n")[-2:]  # before it there may be heartbeats
    kind, data = (line.partition(": ")[2] for line in last)
    if kind != "complete":
        raise UserError(f"the app answered: {kind} {data}")
    return json.loads(data)[0]


def load(address, users=USERS, searches=SEARCHES):
    """Milliseconds of each search of ``users`` at once, ``searches`` each, and a list of what failed."""
    taken, failed, start = [], [], threading.Barrier(users)

    def use(user):
        with contextlib.closing(http.client.HTTPConnection(address.removeprefix("http://"), timeout=60)) as connection:
            connection.connect()
            start.wait()
            for number in range(searches):
                begun = time.perf_counter()
                try:
                    results = search(connection, query(user, number))
                    if len(results) != 10:
                        raise UserError(f"{len(results)} results instead of 10")
                except Exception as error:  # whatever it is, the request failed
                    failed.append(f"{type(error).__name__}: {error}")
                taken.append(1000 * (time.perf_counter() - begun))

    threads = [threading.Thread(target=use, args=(user,)) for user in range(users)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken, failed


def measure(environment=None):
    """Name -> figure, in the unit that the name ends with."""
    with app(environment) as address:
        load(address, users=2, searches=2)
        taken, failed = load(address)
    return {
        f"search in the app with {USERS} users at once, p50 ms": float(np.percentile(taken, 50)),
        f"search in the app with {USERS} users at once, p95 ms": float(np.percentile(taken, 95)),
        "failed requests in the app, of " + f"{len(taken)}": float(len(failed)),
    }


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args(argv)
    for name, figure in measure().items():
        print(f"{name:<52}  {figure:8.1f}")


if __name__ == "__main__":
    run_command(main)
