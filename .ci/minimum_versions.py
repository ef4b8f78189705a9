"""Print the lowest versions that setup.cfg allows, as constraints for pip.

    python .ci/minimum_versions.py > minimum.txt
    pip install --constraint minimum.txt --editable '.[dev]'

Each requirement `name>=version` of the package itself and of all extras becomes `name==version`; if an extra needs a
higher version than the package itself, the higher one. `make minimum` installs these versions in an environment of
their own and runs the tests there.
"""

import configparser
import re
import sys
from pathlib import Path

SETUP = Path(__file__).parents[1] / "setup.cfg"
REQUIREMENT = re.compile(r"([A-Za-z0-9_.-]+)>=([0-9][0-9.]*)")


def numbers_of(version: str) -> tuple[int, ...]:
    """``"4.66.3"`` as (4, 66, 3), so that versions compare as they should."""
    return tuple(int(number) for number in version.split("."))


def minimum_versions(setup: Path) -> dict[str, str]:
    """The lowest version that ``setup.cfg`` allows of each package that it names, sorted by name.

    Raises:
        ValueError: a requirement has another form than ``name>=version``.
    """
    # ConfigParser resolves references such as %(data)s, by which an extra includes another.
    config = configparser.ConfigParser()
    config.read(setup, encoding="utf-8")
    blocks = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    versions: dict[str, str] = {}
    for line in "\n".join(blocks).split():
        match = REQUIREMENT.fullmatch(line)
        if match is None:
            raise ValueError(f"{setup}: the requirement {line!r} has not the form name>=version")
        name, version = match.groups()
        versions[name] = max(versions.get(name, "0"), version, key=numbers_of)
    return dict(sorted(versions.items()))


def main() -> None:
    for name, version in minimum_versions(Path(sys.argv[1]) if sys.argv[1:] else SETUP).items():
        print(f"{name}=={version}")


if __name__ == "__main__":
    main()
