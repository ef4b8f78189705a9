"""The peak memory of an import does not grow with the set: with ten times the rows it is at most 1.1 times as much.

The slow tests take one set of each kind of source, of 5,000 and 50,000 rows, to be done in a minute or two.
`python -m tests.dataset_builders.imports.test_memory` measures every set at 20,000 and 200,000 rows, and prints the
table of docs/field_files.md.
"""

import io
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from PIL import Image

from tests.helpers.paths import ROOT
from tests.helpers.pretraining_sets import LAYOUTS, write_luperson_t_arrow, write_set

ARROW = "luperson-t, Arrow"
SETS = (*LAYOUTS, ARROW)
# Images named by entries of JSON, members of tar files, rows of Parquet.
OF_EACH_KIND = ("luperson-t", "webdataset", "dataset")
FEW = 20_000
MANY = 200_000
# VmHWM is this program's own peak. ru_maxrss would count the memory of the process that started it.
PROGRAM = """
import pathlib, re, sys
from dataset_builders.import_luperson_t import main
main(sys.argv[1:])
print(re.search(r"VmHWM:\\s*(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1])
"""


def tiny_images(count: int = 100) -> list[bytes]:
    """JPEG images of 8 x 24 pixels: what is measured is memory for rows, not for pixels."""
    images = []
    for number in range(count):
        file = io.BytesIO()
        Image.new("RGB", (8, 24), (number, 255 - number, 2 * number)).save(file, "JPEG")
        images.append(file.getvalue())
    return images


def peak_of_import(layout: str, folder: Path, count: int) -> tuple[float, float]:
    """The peak memory in MiB, and the time in seconds, of importing a set of ``count`` images."""
    images = tiny_images()

    def image(number: int) -> bytes:
        return images[number % len(images)]

    if layout == ARROW:
        options = write_luperson_t_arrow(folder / "set", count, image)
    else:
        options = write_set(layout, folder / "set", count, image)
    command = [sys.executable, "-c", PROGRAM, *options, "--output", str(folder / "out")]
    start = time.monotonic()
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert f"train {count} images" in run.stdout
    return int(run.stdout.splitlines()[-1]) / 1024, time.monotonic() - start


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("layout", OF_EACH_KIND)
def test_memory_does_not_grow_with_the_set(layout, tmp_path):
    few, _ = peak_of_import(layout, tmp_path / "few", 5_000)
    many, _ = peak_of_import(layout, tmp_path / "many", 50_000)
    assert many <= 1.1 * few, f"{few:.0f} MiB at 5,000 rows, {many:.0f} MiB at 50,000"


if __name__ == "__main__":
    print(f"| layout | MiB at {FEW:,} | MiB at {MANY:,} | seconds |\n|---|---|---|---|")
    for name in sys.argv[1:] or SETS:
        with TemporaryDirectory() as scratch:
            few_peak, _ = peak_of_import(name, Path(scratch, "few"), FEW)
            many_peak, seconds = peak_of_import(name, Path(scratch, "many"), MANY)
        print(f"| `{name}` | {few_peak:.0f} | {many_peak:.0f} | {seconds:.0f} |", flush=True)
