"""Gets the browser for the tests of the app; `make test` runs it first.

    python tests/helpers/get_chromium.py

It does nothing if a Chromium is there. Else root gets it from apt-get, and everybody else gets Playwright's own. If
neither works, it says so and ends well all the same: the tests then skip what needs a browser, and say that, too.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

SYSTEM_CHROMIUM = Path("/usr/bin/chromium")
NAMES = ("chromium", "google-chrome", "google-chrome-stable")
# Where `playwright install` puts browsers, on Linux and on macOS.
PLAYWRIGHT_FOLDERS = (Path.home() / ".cache" / "ms-playwright", Path.home() / "Library" / "Caches" / "ms-playwright")
PLAYWRIGHT_PROGRAMS = ("chromium-*/chrome-linux*/chrome", "chromium-*/chrome-mac*/*.app/Contents/MacOS/*")
PATIENCE_SECONDS = 600
MEND = (
    "get one with `python tests/helpers/get_chromium.py`, `apt-get install chromium` or `playwright install chromium`"
)


def find_chromium() -> Path | None:
    """The program of a Chromium: the system's, one on the PATH, or Playwright's own; None if there is none.

    Playwright itself is not asked, because starting it takes most of a second.
    """
    if SYSTEM_CHROMIUM.exists():
        return SYSTEM_CHROMIUM
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return Path(found)
    chosen_folder = os.environ.get("PLAYWRIGHT_BROWSERS_PATH")
    for folder in (Path(chosen_folder),) if chosen_folder else PLAYWRIGHT_FOLDERS:
        for pattern in PLAYWRIGHT_PROGRAMS:
            # The last is the newest: the numbers of the builds have the same length.
            programs = sorted(folder.glob(pattern))
            if programs:
                return programs[-1]
    return None


def install_commands() -> list[list[list[str]]]:
    """The ways to get a Chromium, the best first. Each is a list of commands that run one after the other."""
    ways = []
    if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("apt-get"):
        ways.append([["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "chromium"]])
    ways.append([[sys.executable, "-m", "playwright", "install", "chromium"]])
    return ways


def run(command: list[str]) -> bool:
    """Whether ``command`` succeeded. What it prints is not shown: many an error in it is mended by the next way."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=PATIENCE_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def main() -> None:
    if find_chromium():
        return
    print("getting Chromium for the browser tests ...", file=sys.stderr)
    for commands in install_commands():
        # Looked for also after success: Ubuntu's package is an empty one that points to a snap.
        if all(run(command) for command in commands) and find_chromium():
            return
    print(f"no Chromium could be got, so the browser tests will be skipped; {MEND}", file=sys.stderr)


if __name__ == "__main__":
    main()
