"""Render synthetic pedestrians whose attributes are known.

python -m dataset_builders.synthetic_pedestrians --output people --identities 500 --views 4 --seed 1 --layout images
"""

import argparse
import os
from collections.abc import Sequence

from modeling_unipt.common.command_line import CommandParser
from modeling_unipt.common.output_folders import finish_output, start_output
from modeling_unipt.common.parallel import usable_cores
from modeling_unipt.common.user_errors import UserError, run_command

from .domains import DOMAINS

DESCRIPTION = """\
Render people by sphere-tracing signed distance fields. Every one of the 14 LUPerson-T attributes is under control.

Layout "images" writes OUTPUT/images/*.jpg, a folder without labels as for pre-training. Layout "cuhk-pedes" writes a
benchmark in the layout of CUHK-PEDES: OUTPUT/imgs/cam_*/*.jpg and OUTPUT/reid_raw.json, with two captions for each
image and with the identities split into train, val and test. Both write OUTPUT/truth.jsonl: the true attributes of
every image, and the pixel box of each attribute that can be seen. The same seed gives the same bytes with any number
of workers. On another kind of CPU a few pixels may differ by a few levels.

Domain "street" sees people from the height of a head, in daylight, and describes them in a sentence or two. Domain
"station" sees them from under the ceiling of a hall: its cameras are nearer and steeper, its light comes from lamps
above, its dyes differ, its images are coarser, and its captions are longer and use other sentences. A seed stands for
the same people in both domains. To measure transfer, train in one domain and test in the other, with different seeds,
so that nobody is in both."""

EPILOG = """\
example:
  python -m dataset_builders.synthetic_pedestrians --output runs/people --identities 500 --views 2 --layout images
  python -m dataset_builders.synthetic_pedestrians --output runs/bench --identities 300 --views 4 --seed 7 \\
      --layout cuhk-pedes --test-identities 100
  python -m dataset_builders.synthetic_pedestrians --output runs/station --identities 300 --views 4 --seed 8 \\
      --layout cuhk-pedes --domain station
  python -m dataset_builders.synthetic_pedestrians.oracle --truth runs/bench/truth.jsonl \\
      --benchmark runs/bench/reid_raw.json
"""


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults, but not "(default: None)" for what is required or computed."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser(
        prog="python -m dataset_builders.synthetic_pedestrians",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=_Help,
    )
    add = parser.add_argument
    add("--output", required=True, help="folder to make; a complete one made with the same settings is left alone")
    add("--identities", type=int, default=500, help="number of different people")
    add("--views", type=int, default=4, help="images of each person; cuhk-pedes needs at least 4")
    add("--seed", type=int, default=0, help="number of the world; each has other people and cameras")
    add("--layout", choices=("images", "cuhk-pedes"), default="images", help="a folder without labels, or a benchmark")
    add(
        "--domain",
        choices=DOMAINS,
        default="street",
        help="the rendered world: its cameras, light, places, colours of clothes and style of captions",
    )
    add("--height", type=int, default=192, help="height of each image in pixels")
    add("--width", type=int, default=64, help="width of each image in pixels")
    add("--test-identities", type=int, help="cuhk-pedes: people in the test split (default: a third)")
    add("--val-identities", type=int, help="cuhk-pedes: people in the val split (default: a twentieth, at least 2)")
    add("--workers", type=int, default=len(usable_cores()), help="number of processes; the result is the same")
    return parser.parse_args(arguments)


def _check(options: argparse.Namespace) -> tuple[int, int, int] | None:
    """Refuse impossible numbers; returns the (train, val, test) numbers of identities, or None in layout images."""
    for name, least in (("identities", 1), ("views", 1), ("workers", 1), ("height", 32), ("width", 16), ("seed", 0)):
        value = getattr(options, name)
        if value < least:
            raise UserError(f"--{name} is {value} but must be at least {least}")
    if options.layout == "images":
        for name in ("test_identities", "val_identities"):
            if getattr(options, name) is not None:
                raise UserError(f"--{name.replace('_', '-')} belongs to --layout cuhk-pedes; leave it out or add that")
        return None
    if options.views < 4:
        raise UserError(f"--views is {options.views} but --layout cuhk-pedes needs at least 4 images of each person")
    test = options.identities // 3 if options.test_identities is None else options.test_identities
    val = max(2, options.identities // 20) if options.val_identities is None else options.val_identities
    if test < 1 or val < 0:
        raise UserError(
            f"{test} test and {val} val identities make no benchmark; give --test-identities of at least 1 and "
            "--val-identities of at least 0"
        )
    if test + val >= options.identities:
        raise UserError(
            f"{test} test and {val} val identities leave none of {options.identities} for training; "
            "raise --identities or lower --test-identities"
        )
    return options.identities - test - val, val, test


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parse(arguments)
    splits = _check(options)
    settings = {
        "command": "synthetic_pedestrians",
        "identities": options.identities,
        "views": options.views,
        "seed": options.seed,
        "layout": options.layout,
        "height": options.height,
        "width": options.width,
        "splits": splits,
    }
    # Named only where it differs: outputs of the time before there were domains do not name it.
    if options.domain != "street":
        settings["domain"] = options.domain
    work = start_output(options.output, settings)
    if work is None:
        return
    # The workers share the cores already. NumPy reads these when it is imported, so that comes after them.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    from .write_world import Plan, write_world

    plan = Plan(
        folder=work,
        identities=options.identities,
        views=options.views,
        seed=options.seed,
        layout=options.layout,
        height=options.height,
        width=options.width,
        splits=splits,
        domain=options.domain,
    )
    count = write_world(plan, min(options.workers, options.identities))
    finish_output(work, options.output)
    print(f"{options.output}: {count} images of {options.identities} people, truth in truth.jsonl")


if __name__ == "__main__":
    run_command(main)
