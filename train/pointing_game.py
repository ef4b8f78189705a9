"""The pointing game: does the hottest patch of a heat map fall on the thing that its words name?

    python train/pointing_game.py --output docs/pointing_game.json

It renders people who are used nowhere else. For every thing whose box is known it asks: is the middle of the hottest
patch within the box? Chance is the share of the image that the box covers: a patch drawn at random is right so often.
Each thing is asked for by two kinds of sentence, one of the thing alone ("A person with a cap.") and one of all that
can be seen of the person. The results are compared with the best fixed patch, the one that would be right most often if
it were named for every image. It is found in hindsight: it knows where a thing usually is, and looks at no image. The
command writes the numbers as JSON, and a page beside it (.md).
"""

import argparse
import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm
from transformers import PreTrainedModel

from dataset_builders.divide.reading import load_vocabulary
from dataset_builders.divide.vocabulary import Vocabulary
from dataset_builders.report.confidence import wilson_interval
from modeling_unipt.common.command_line import CommandParser
from modeling_unipt.common.image_files import read_image
from modeling_unipt.common.user_errors import UserError, run_command
from modeling_unipt.common.words import markdown_table
from modeling_unipt.heat_map import hottest_patch, word_maps
from modeling_unipt.loading import load_unipt
from modeling_unipt.processing_unipt import UniPTProcessor
from unipt_train.studies.commands import ROOT, render_people, require_clone
from unipt_train.studies.results import write_results

SEED = 9600
# The things whose share the documentation promises to be well above chance.
PROMISED = ("hat", "bag", "upper_clothes", "lower_clothes")
ALONE = "the thing alone"
WHOLE = "all that is seen"
FIXED = "one fixed patch"
KINDS = (ALONE, WHOLE, FIXED)
Box = Sequence[float]


@dataclass
class Asked:
    """What was asked of one thing, a value for each image that shows it.

    Attributes:
        areas: share of the image that the box covers.
        alone: whether the hottest patch was right when the thing alone was named.
        whole: whether it was right when all that can be seen was named.
        patches: (rows * columns,) bool, whether the middle of each patch lies in the box.
    """

    areas: list[float] = field(default_factory=list)
    alone: list[bool] = field(default_factory=list)
    whole: list[bool] = field(default_factory=list)
    patches: list[np.ndarray] = field(default_factory=list)

    def counted(self) -> dict[str, Any]:
        """The numbers of the JSON file; see :func:`play`."""
        counted: dict[str, Any] = {"images": len(self.areas), "chance": float(np.mean(self.areas))}
        right = np.stack(self.patches)
        fixed = right[:, right.mean(axis=0).argmax()]
        for kind, found in zip(KINDS, (self.alone, self.whole, fixed), strict=True):
            hits = int(np.sum(found))
            low, high = wilson_interval(hits, len(found))
            counted[kind] = {"hits": hits, "share": hits / len(found), "low": float(low), "high": float(high)}
        return counted


def phrases_of(row: Mapping[str, Any], vocabulary: Vocabulary) -> dict[str, str]:
    """What the vocabulary says of each thing that has a box in a row of truth.jsonl, by the thing's name."""
    phrases = {}
    for name in row["boxes"]:
        attribute = vocabulary.attributes[name]
        choice = attribute.saying({field: row["attributes"][field] for field in attribute.fields})
        if choice is not None:
            phrases[name] = choice.phrase
    return phrases


def inside(point: tuple[float, float], box: Box, height: int, width: int) -> bool:
    """Whether a point lies in a box.

    Args:
        point: (x, y), shares of the sides.
        box: (left, top, right, bottom) in pixels.
        height, width: of the image in pixels.
    """
    x = point[0] * width
    y = point[1] * height
    return box[0] <= x < box[2] and box[1] <= y < box[3]


def _patches_inside(grid: tuple[int, int], box: Box, height: int, width: int) -> np.ndarray:
    """(rows * columns,) bool: whether the middle of each patch of a grid (rows, columns) lies in the box."""
    rows, columns = grid
    right = []
    for y in range(rows):
        for x in range(columns):
            right.append(inside(((x + 0.5) / columns, (y + 0.5) / rows), box, height, width))
    return np.array(right)


def _ask(
    asked: dict[str, Asked],
    model: PreTrainedModel,
    processor: UniPTProcessor,
    image: Image.Image,
    boxes: Mapping[str, Box],
    phrases: Mapping[str, str],
) -> None:
    """Ask for every thing of one image, and add the answers to ``asked``."""
    height = image.height
    width = image.width
    everything = f"A person with {', '.join(phrases.values())}."
    maps = word_maps(model, processor, image, everything, list(phrases.values()))
    for (name, phrase), whole in zip(phrases.items(), maps, strict=True):
        box = boxes[name]
        alone = word_maps(model, processor, image, f"A person with {phrase}.", [phrase])[0]
        of_thing = asked.setdefault(name, Asked())
        of_thing.areas.append((box[2] - box[0]) * (box[3] - box[1]) / (height * width))
        of_thing.alone.append(inside(hottest_patch(alone), box, height, width))
        of_thing.whole.append(inside(hottest_patch(whole), box, height, width))
        of_thing.patches.append(_patches_inside(alone.shape, box, height, width))


def play(model: PreTrainedModel, processor: UniPTProcessor, folder: Path | str) -> dict[str, dict[str, Any]]:
    """Play the game on a folder of rendered people, layout images.

    Returns:
        Name of a thing -> ``images``, their number; ``chance``, the mean share of the image that the box covers; and
        for each of ``KINDS`` ``hits``, ``share``, ``low`` and ``high``, where low and high are the 95 % interval of the
        share (Wilson's).
    """
    vocabulary = load_vocabulary()
    lines = (Path(folder) / "truth.jsonl").read_text(encoding="utf-8").splitlines()
    asked: dict[str, Asked] = {}
    for line in tqdm(lines, desc="pointing", unit="image"):
        row = json.loads(line)
        phrases = phrases_of(row, vocabulary)
        if phrases:
            _ask(asked, model, processor, read_image(Path(folder) / row["file_name"]), row["boxes"], phrases)
    return {name: asked[name].counted() for name in sorted(asked, key=_order)}


def _order(name: str) -> tuple[int, str]:
    """Sorts the promised things first, in their order, and the others by name."""
    return (PROMISED.index(name), "") if name in PROMISED else (len(PROMISED), name)


def _title(name: str) -> str:
    return name.replace("_", " ")


def _range(values: Sequence[float], digits: int) -> str:
    """ "10.0 to 13.4", or one number where both would read the same."""
    low = f"{min(values):.{digits}f}"
    high = f"{max(values):.{digits}f}"
    return low if low == high else f"{low} to {high}"


def findings(things: Mapping[str, Mapping[str, Any]]) -> str:
    """What the numbers say, as a list in Markdown: the promised things together, then each of the others.

    Args:
        things: what :func:`play` returned.
    """
    promised = [name for name in PROMISED if name in things]
    groups = [promised] if promised else []
    groups += [[name] for name in things if name not in PROMISED]
    lines = []
    for names in groups:
        percents = [100 * things[name][kind]["share"] for name in names for kind in (ALONE, WHOLE)]
        times = [things[name][kind]["share"] / things[name]["chance"] for name in names for kind in (ALONE, WHOLE)]
        digits = 0 if names == promised else 1
        line = f"* **{', '.join(map(_title, names))}**: right in {_range(percents, 1)} %, which is "
        line += f"{_range(times, digits)} times as often as chance."
        fixed = 100 * things[names[0]][FIXED]["share"]
        if names != promised and fixed > min(percents):
            line += f" One fixed patch, which looks at no image, is right in {fixed:.1f} %."
        lines.append(line)
    return "\n".join(lines)


def markdown(played: Mapping[str, Any]) -> str:
    """The page: what was asked, what the numbers say, and a table in percent.

    Args:
        played: ``model`` and ``people``, what they are called, and ``things``, what :func:`play` returned.
    """
    things = played["things"]
    rows = []
    for name, counted in things.items():
        thing = f"**{_title(name)}**" if name in PROMISED else _title(name)
        cells = [_cell(counted[kind], counted["chance"]) for kind in KINDS]
        rows.append([thing, counted["images"], f"{100 * counted['chance']:.1f}", *cells])
    table = markdown_table(["thing", "images", "chance", *KINDS], rows)
    return f"""# The pointing game

A heat map shows which parts of an image respond to words. Is the middle of its hottest patch within the box of the
thing that the words name? The model is {played["model"]}; the people are {played["people"]}.
`python train/pointing_game.py` wrote this page.

## What the numbers say

{findings(things)}

## The numbers

Chance is the mean share of the image that the box covers, in percent. The other columns say how often the patch is
right, in percent. In brackets stands the 95 % interval (Wilson's), and behind it how many times chance the share is.

* "{ALONE}": the sentence names only this thing, as in "A person with a cap."
* "{WHOLE}": the sentence names everything that can be seen of the person, and the heat map is that of one thing of it.
* "{FIXED}": the patch that is right most often, found in hindsight. It looks at no image.

{table}
"""


def _cell(counted: Mapping[str, float], chance: float) -> str:
    low = 100 * counted["low"]
    high = 100 * counted["high"]
    return f"{100 * counted['share']:.1f} ({low:.1f} to {high:.1f}), {counted['share'] / chance:.1f} x"


def main(argv: Sequence[str] | None = None) -> None:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--output", default="runs/pointing_game.json", help="JSON file to write (default: %(default)s)")
    add("--model", default=str(ROOT / "unipt" / "unipt-tiny"), help="UniPT model (default: unipt/unipt-tiny)")
    add(
        "--people",
        metavar="FOLDER",
        help="people that dataset_builders.synthetic_pedestrians has made (default: some are rendered now)",
    )
    add("--identities", type=int, default=1000, metavar="N", help="people to render (default: %(default)s)")
    add("--seed", type=int, default=SEED, help="seed of the rendered people (default: %(default)s)")
    arguments = parser.parse_args(argv)
    require_clone()
    if arguments.people and not (Path(arguments.people) / "truth.jsonl").is_file():
        raise UserError(f"{arguments.people} holds no truth.jsonl; make it with dataset_builders.synthetic_pedestrians")
    model, processor = load_unipt(arguments.model)
    with tempfile.TemporaryDirectory() as work:
        folder = arguments.people
        if folder is None:
            folder = Path(work) / "people"
            command = render_people(folder, arguments.identities, views=1, seed=arguments.seed)
            subprocess.run([str(part) for part in command], cwd=ROOT, check=True)
        things = play(model, processor, folder)
    model_name = Path(arguments.model).name
    people = arguments.people or f"{arguments.identities} rendered people of seed {arguments.seed}"
    played = {"model": model_name, "people": people, "things": things}
    page = markdown(played)
    write_results(arguments.output, played, page)
    print(page)


if __name__ == "__main__":
    run_command(main)
