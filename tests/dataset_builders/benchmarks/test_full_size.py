"""Each benchmark at its published size, with blank images: the numbers are verified, in little memory.

With ``-s`` the test prints the time and the peak memory that docs/field_files.md tells.
"""

import json
import os
import subprocess
import sys

import pyarrow.parquet as parquet
import pytest
from PIL import Image

from dataset_builders.benchmarks.layouts import LAYOUTS
from tests.helpers.paths import ROOT

# name -> split -> (people, images, captions). How UFine6926's people and all of ChatPedes are shared out was not
# published: any numbers do that have the published sums.
SIZES = {
    name: {split: tuple(counts) for split, counts in layout.official.items() if split != "all"}
    for name, layout in LAYOUTS.items()
}
SIZES["ufine6926"] = {"train": (4_926, 18_577, 37_154), "test": (2_000, 7_629, 15_258)}
SIZES["chatpedes"] = {"train": (11_003, 34_054, 68_108), "test": (1_000, 3_074, 6_148)}
FOLDERS = {"cuhk-pedes": "imgs", "icfg-pedes": "imgs", "rstpreid": "imgs", "chatpedes": "imgs00"}
COLOURS = ("red", "blue", "green", "white", "black", "grey", "brown", "yellow", "pink", "orange")
# The libraries alone take about 130 MB.
MOST_MEGABYTES = 300
# The peak that getrusage tells would be that of this process, from which the command is forked, if that is higher.
COMMAND = """
import sys
from dataset_builders.benchmarks.__main__ import main
main(sys.argv[1:])
print("peak", next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def described(person, number):
    clothes = [COLOURS[person // 10**digit % 10] for digit in range(5)]
    return "A person {} wears a {} coat, a {} shirt, {} trousers, {} shoes and a {} bag.".format(number, *clothes)


def entries(name, split, first):
    """The entries of a split whose people are numbered from ``first`` on."""
    people, images, captions = SIZES[name][split]
    told = 0
    for number in range(images):
        person = first + number % people
        until = captions * (number + 1) // images
        yield {
            LAYOUTS[name].image[0]: f"cam_{number % 2}/{person % 100:02d}/{split}_{number}.jpg",
            "id": person,
            "split": split,
            "captions": [described(person, each) for each in range(told, until)],
        }
        told = until


def write(folder, name):
    listed = []
    first = 1
    for split, (people, _, _) in SIZES[name].items():
        listed.append((split, list(entries(name, split, first))))
        first += people
    link_images(folder / FOLDERS.get(name, ""), [e[LAYOUTS[name].image[0]] for _, each in listed for e in each])
    if name == "chatpedes":
        for split, each in listed:
            said = [[{"from": "user", "value": "A man."}, {"from": "gpt", "value": "What does he wear?"}]]
            whole = [{key: value for key, value in e.items() if key != "split"} | {"chats": said} for e in each]
            (folder / f"{split}_reid.json").write_text(json.dumps(whole))
    elif name == "iiitd-20k":
        numbered = [e for _, each in listed for e in each]
        write_filtered(folder, numbered)
    else:
        annotation = LAYOUTS[name].annotations[0]
        (folder / annotation).write_text(json.dumps([e for _, each in listed for e in each]))


def write_filtered(folder, listed):
    """IIITD-20K by number, without splits and suffixes."""
    filtered = {}
    for number, entry in enumerate(listed):
        first, second = entry["captions"]
        filtered[str(number)] = {
            "Image ID": entry["file_path"].removesuffix(".jpg"),
            "Description 1": first,
            "Description 2": second,
        }
    (folder / "Filtered.json").write_text(json.dumps(filtered))


def link_images(folder, paths):
    """Make one blank image, and every other one a link to it."""
    folder.mkdir(parents=True, exist_ok=True)
    blank = folder.parent / "blank.jpg"
    Image.new("RGB", (64, 128), "white").save(blank)
    for path in paths:
        target = folder / path
        if not target.parent.is_dir():
            target.parent.mkdir(parents=True)
        os.link(blank, target)


def run(name, source, output):
    """Read a benchmark, print how that went, and return what it told."""
    begin = os.times()
    command = [sys.executable, "-c", COMMAND, name, "--source", str(source), "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    megabytes = int(done.stdout.split("peak ")[1]) // 1024
    end = os.times()
    computed = end.children_user + end.children_system - begin.children_user - begin.children_system
    print(f"\n{name}: {computed:.0f} s computed, {end.elapsed - begin.elapsed:.0f} s waited, {megabytes} MB")
    assert megabytes < MOST_MEGABYTES
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_a_benchmark_of_published_size_is_official(name, tmp_path):
    write(tmp_path / name, name)
    told = run(name, tmp_path / name, tmp_path / "out")
    assert told.count(f": the official split of {LAYOUTS[name].title}, so scores on it are comparable") == len(
        SIZES[name]
    )
    assert "odd:" not in told and "rejected" not in told
    for split, numbers in SIZES[name].items():
        rows = [
            parquet.read_table(path, columns=["person_id", "captions"])
            for path in (tmp_path / "out/data").glob(f"{split}-*")
        ]
        people = {person for table in rows for person in table["person_id"].to_pylist()}
        captions = sum(len(each) for table in rows for each in table["captions"].to_pylist())
        assert (len(people), sum(table.num_rows for table in rows), captions) == numbers
