"""The pointing game: does the hottest patch of a heat map fall on the thing that its words name?

    python train/pointing_game.py --output docs/pointing_game.json

Renders people who are used nowhere else, and asks for every thing whose box is known: is the middle of the hottest
patch within the box? A patch drawn at random is right as often as the box is large: that is chance. Two kinds of
sentence are asked, of the one thing ("A person with a cap.") and of all that can be seen of the person. Beside them
stands the single patch that would be right most often if it were named for every picture, found in hindsight: it knows
where things use to be, and looks at no picture. Writes the numbers as JSON, and as a table beside it (.md).
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from modeling_unipt.common.user_errors import UserError, run_command
from unipt_train.studies.commands import RENDER, ROOT

SEED = 9600
REQUIRED = ("hat", "bag", "upper_clothes", "lower_clothes")
ALONE, WHOLE, FIXED = "the thing alone", "all that is seen", "one fixed patch"


def phrases_of(row, vocabulary):
    """Box's name -> what the vocabulary says of that thing, for all that can be seen in a row of truth.jsonl."""
    chosen = {}
    for name in row["boxes"]:
        attribute = vocabulary.attributes[name]
        choice = attribute.saying({field: row["attributes"][field] for field in attribute.fields})
        if choice is not None:
            chosen[name] = choice.phrase
    return chosen


def inside(point, box, height, width):
    """Whether (x, y), shares of the sides, lies in the box of pixels (left, top, right, bottom)."""
    x, y = point[0] * width, point[1] * height
    return box[0] <= x < box[2] and box[1] <= y < box[3]


def play(model, processor, folder):
    """The game on a folder of synthetic_pedestrians, layout images.

    Returns:
        Name of a thing -> {"pictures": number, "chance": mean share of the picture that the box covers, kind of
        sentence: {"hits", "share", "low", "high"}}; low and high are the 95 % interval of the share (Wilson's).
    """
    from tqdm import tqdm

    from dataset_builders.divide.reading import load_vocabulary
    from modeling_unipt.common.image_files import read_image
    from modeling_unipt.heat_map import hottest_patch, word_maps

    vocabulary = load_vocabulary()
    rows = [json.loads(line) for line in (Path(folder) / "truth.jsonl").read_text(encoding="utf-8").splitlines()]
    areas, hits, fixed = {}, {}, {}
    for row in tqdm(rows, desc="pointing", unit="image"):
        image, phrases = read_image(Path(folder) / row["file_name"]), phrases_of(row, vocabulary)
        if not phrases:
            continue
        whole = f"A person with {', '.join(phrases.values())}."
        maps = dict(zip(phrases, word_maps(model, processor, image, whole, list(phrases.values())), strict=True))
        for name, phrase in phrases.items():
            box, size = row["boxes"][name], (image.height, image.width)
            alone = word_maps(model, processor, image, f"A person with {phrase}.", [phrase])[0]
            areas.setdefault(name, []).append((box[2] - box[0]) * (box[3] - box[1]) / (image.height * image.width))
            found = hits.setdefault(name, {ALONE: [], WHOLE: []})
            for kind, heat_map in ((ALONE, alone), (WHOLE, maps[name])):
                found[kind].append(inside(hottest_patch(heat_map), box, *size))
            fixed.setdefault(name, []).append(_patches_inside(alone.shape, box, *size))
    for name, found in hits.items():
        patches = np.stack(fixed[name])
        found[FIXED] = patches[:, patches.mean(axis=0).argmax()].tolist()
    return {name: _counted(areas[name], hits[name]) for name in sorted(hits, key=_order)}


def _order(name):
    return (REQUIRED.index(name), "") if name in REQUIRED else (len(REQUIRED), name)


def _patches_inside(grid, box, height, width):
    """(rows * columns,) bool: whether the middle of each patch lies in the box."""
    rows, columns = grid
    middles = [((x + 0.5) / columns, (y + 0.5) / rows) for y in range(rows) for x in range(columns)]
    return np.array([inside(middle, box, height, width) for middle in middles])


def _counted(areas, hits):
    from dataset_builders.report.confidence import wilson_interval

    counted = {"pictures": len(areas), "chance": float(np.mean(areas))}
    for kind, found in hits.items():
        low, high = wilson_interval(sum(found), len(found))
        counted[kind] = {"hits": sum(found), "share": sum(found) / len(found), "low": float(low), "high": float(high)}
    return counted


def markdown(things, about):
    """The table, in percent, with how many times chance each share is."""
    lines = [
        "# The pointing game",
        "",
        f"Is the middle of the hottest patch within the thing's box? {about}",
        "Chance is the mean share of the picture that the box covers; in brackets the 95 % interval (Wilson's), then "
        "how many times chance it is.",
        f'"{ALONE}" asks "A person with a cap."; "{WHOLE}" names everything that can be seen of the person and asks '
        f'for one thing of it; "{FIXED}" looks at no picture: it is the patch that is right most often, found in '
        "hindsight.",
        "",
        f"| thing | pictures | chance | {ALONE} | {WHOLE} | {FIXED} |",
        "|---|---|---|---|---|---|",
    ]
    for name, counted in things.items():
        cells = [_cell(counted[kind], counted["chance"]) for kind in (ALONE, WHOLE, FIXED)]
        thing = name.replace("_", " ")
        thing = f"**{thing}**" if name in REQUIRED else thing
        lines.append(f"| {thing} | {counted['pictures']} | {100 * counted['chance']:.1f} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(counted, chance):
    low, high = 100 * counted["low"], 100 * counted["high"]
    return f"{100 * counted['share']:.1f} ({low:.1f} to {high:.1f}), {counted['share'] / chance:.1f} x"


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--output", default="runs/pointing_game.json", help="JSON file to write (default: %(default)s)")
    add("--model", default=str(ROOT / "unipt" / "unipt-tiny"), help="UniPT model (default: unipt/unipt-tiny)")
    add("--people", metavar="FOLDER", help="made by dataset_builders.synthetic_pedestrians (default: rendered now)")
    add("--identities", type=int, default=1000, metavar="N", help="people to render (default: %(default)s)")
    add("--seed", type=int, default=SEED, help="of the rendered people (default: %(default)s)")
    arguments = parser.parse_args(argv)
    if arguments.people and not (Path(arguments.people) / "truth.jsonl").is_file():
        raise UserError(f"{arguments.people} holds no truth.jsonl; make it with dataset_builders.synthetic_pedestrians")
    return arguments


def main(argv=None):
    arguments = parse(argv)

    from modeling_unipt.loading import load_unipt

    model, processor = load_unipt(arguments.model)
    with tempfile.TemporaryDirectory() as work:
        folder = arguments.people
        if folder is None:
            folder = Path(work) / "people"
            rendered = [
                "--output",
                folder,
                "--identities",
                arguments.identities,
                "--views",
                1,
                "--seed",
                arguments.seed,
            ]
            subprocess.run([*RENDER, *map(str, rendered)], cwd=ROOT, check=True)
        things = play(model, processor, folder)
    model_name = Path(arguments.model).name
    people = arguments.people or f"{arguments.identities} rendered people of seed {arguments.seed}"
    about = f"Model {model_name}; {people}. Written by `python train/pointing_game.py`."
    output = Path(arguments.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    table = markdown(things, about)
    content = {"model": model_name, "people": people, "things": things}
    for path, text in ((output, json.dumps(content, indent=2) + "\n"), (output.with_suffix(".md"), table)):
        aside = path.with_name(path.name + ".partial")
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    print(table)


if __name__ == "__main__":
    run_command(main)
