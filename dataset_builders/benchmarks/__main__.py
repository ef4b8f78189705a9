"""Read a benchmark of text-to-image person retrieval in its official layout into a Parquet dataset with its splits.

    python -m dataset_builders.benchmarks cuhk-pedes --source CUHK-PEDES --output cuhk-pedes
    python -m dataset_builders.benchmarks icfg-pedes --source ICFG-PEDES --output icfg-pedes
    python -m dataset_builders.benchmarks rstpreid --source RSTPReid --output rstpreid
    python -m dataset_builders.benchmarks ufine6926 --source UFine6926 --output ufine6926
    python -m dataset_builders.benchmarks ufine3c --source UFine3C --output ufine3c
    python -m dataset_builders.benchmarks iiitd-20k --source IIITD-20K --output iiitd-20k
    python -m dataset_builders.benchmarks chatpedes --source ChatPedes --output chatpedes
    python -m dataset_builders.benchmarks itcpr --source ITCPR --output itcpr

Each row is one image: ``image``, ``image_id``, ``person_id``, ``captions``, ``file_path``. The numbers of people,
images and captions of each split must be the published ones. ``--splits test`` reads that split alone. With
``--allow-partial`` other numbers are accepted, and the console and the card say of each split whether scores on it are
comparable with published ones. ITCPR, whose queries are an image with words, has the splits ``query`` and ``gallery``.
"""

from collections.abc import Sequence

from modeling_unipt.common.command_line import CommandParser
from modeling_unipt.common.user_errors import UserError, run_command

from .build import BenchmarkOptions, build
from .composed import NAME as COMPOSED
from .composed import TITLE, build_composed
from .layouts import LAYOUTS, SPLITS


def parse(argv: Sequence[str] | None = None) -> BenchmarkOptions:
    """Read and check the command line; None stands for this process's own.

    Raises:
        UserError: a number is out of range.
    """
    parser = CommandParser(
        prog="python -m dataset_builders.benchmarks",
        description="Read a benchmark in its official layout into a folder of Parquet shards with its splits. "
        "load_dataset, train/finetune.py and train/evaluate_retrieval.py read it.",
        epilog="example: python -m dataset_builders.benchmarks cuhk-pedes --source CUHK-PEDES --output cuhk-pedes",
    )
    commands = parser.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")
    summaries = {
        name: f"{layout.title}: {layout.annotations[0]} beside {layout.images[0] or 'images'}/"
        for name, layout in LAYOUTS.items()
    }
    summaries[COMPOSED] = f"{TITLE}, whose queries are an image with words: query.json and gallery.json"
    for name, summary in summaries.items():
        command = commands.add_parser(name, help=summary, description=f"{summary}.")
        command.add_argument("--source", required=True, help="folder of the benchmark as its authors ship it")
        command.add_argument("--output", required=True, help="folder for the dataset; must be new")
        if name != COMPOSED:
            command.add_argument(
                "--splits",
                nargs="+",
                choices=SPLITS,
                default=(),
                help="read these splits alone; the others may be incomplete or missing (default: all)",
            )
        command.add_argument(
            "--allow-partial",
            action="store_true",
            help="accept a subset, or other data in this layout: images may be missing or unreadable, and the numbers "
            "may differ from the published ones",
        )
        command.add_argument(
            "--fix-paths",
            action="store_true",
            help="take an image whose path is spelled differently on disk: backslashes, a folder too many or too few, "
            "another suffix or case",
        )
        command.add_argument(
            "--strict",
            action="store_true",
            help="refuse the benchmark if anything in its captions or people is odd; without it that is told, and "
            "listed in the card",
        )
        command.add_argument(
            "--workers",
            type=int,
            default=BenchmarkOptions.workers,
            help="threads that read and decode images (default: %(default)s)",
        )
        command.add_argument(
            "--license",
            default=BenchmarkOptions.license,
            help="licence named in the dataset card, by its name on the Hub (default: %(default)s)",
        )
    options = BenchmarkOptions(**vars(parser.parse_args(argv)))
    if options.workers < 1:
        raise UserError(f"--workers {options.workers} must be at least 1")
    return options


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; None stands for this process's own command line.

    Raises:
        UserError: see :func:`parse` and :func:`dataset_builders.benchmarks.build.build`.
    """
    options = parse(argv)
    copy = build_composed(options) if options.benchmark == COMPOSED else build(options)
    if copy is None:
        return
    parts = [
        f"{split} {copy.counts[split].images} images of {copy.counts[split].identities} people" for split in copy.sizes
    ]
    print(f"wrote {options.output}: {', '.join(parts)}")
    for line in copy.lines():
        print(line)


if __name__ == "__main__":
    run_command(main)
