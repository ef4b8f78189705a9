"""Read sets of captioned person images into the columns that dataset_builders.luperson_t writes.

    python -m dataset_builders.import_luperson_t --source luperson-t.json --images LUPerson --output luperson-t
    python -m dataset_builders.import_luperson_t --source LUPerson_clip_128w_phrase_arrow --output luperson-t
    python -m dataset_builders.import_luperson_t --layout mals --source MALS --output mals

Without --layout this is the LUPerson-T that the authors of UniPT released: a JSON list of {file_path, captions, id}
beside an image folder, or Arrow files with the columns image (JPEG bytes), caption, image_id and split. Such sets hold
captions alone, so LUPerson-T's attributes, their probabilities and the scores of the captions are null. What else a set
knows stands in columns of its own.
"""

from collections.abc import Sequence

from modeling_unipt.common.command_line import CommandParser
from modeling_unipt.common.user_errors import UserError, run_command

from .imports.build import DEFAULT_LAYOUT, DEFAULT_LICENSE, import_set
from .imports.layouts import LAYOUTS
from .imports.opening import ImportOptions


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command; None stands for this process's own command line.

    Raises:
        UserError: see :func:`dataset_builders.imports.build.import_set`.
    """
    parser = CommandParser(
        prog="python -m dataset_builders.import_luperson_t",
        description="Read a set of captioned person images into a folder of Parquet shards with LUPerson-T's columns, "
        "for load_dataset and train/pretrain.py. The file rejected.jsonl lists the images that cannot be used.",
        epilog="example: python -m dataset_builders.import_luperson_t --source LUPerson_clip_128w_phrase_arrow "
        "--output luperson-t",
    )
    parser.add_argument(
        "--layout",
        choices=LAYOUTS,
        default=DEFAULT_LAYOUT,
        help="the set: luperson-t, luperson-mllm, webperson, ham-pedes, synth-pedes, mals or sda as their authors ship "
        "them; table: a CSV, TSV, JSON or JSON Lines file with a column of paths and columns of captions; webdataset: "
        "tar files; dataset: Parquet or Arrow files, a folder of save_to_disk, or a dataset on the Hub (default: "
        "%(default)s)",
    )
    parser.add_argument(
        "--source",
        required=True,
        nargs="+",
        help="annotation files or their folder, files that hold images, or the name of a dataset on the Hub; "
        "NAME:SPLIT takes one split of a dataset",
    )
    parser.add_argument(
        "--images", help="the folder that paths of images are relative to (default: where the authors put it)"
    )
    parser.add_argument("--output", required=True, help="folder for the dataset; must be new")
    parser.add_argument(
        "--fix-paths",
        action="store_true",
        help="take images whose path is spelled differently on disk: backslashes, a folder too many or too few, "
        "another suffix or case",
    )
    parser.add_argument(
        "--strict", action="store_true", help="refuse a set in which anything is odd, was mended or was left out"
    )
    parser.add_argument(
        "--caption-backend", help="who wrote the captions, for the column caption_backends (default: the layout's)"
    )
    parser.add_argument("--image-column", help="layouts table and dataset: the column of images or paths")
    parser.add_argument(
        "--caption-columns", nargs="+", default=[], help="layouts table, webdataset and dataset: columns of captions"
    )
    parser.add_argument(
        "--workers", type=int, default=1, help="threads that read and decode images (default: %(default)s)"
    )
    parser.add_argument(
        "--license",
        default=DEFAULT_LICENSE,
        help="licence named in the dataset card, by its name on the Hub (default: %(default)s)",
    )
    arguments = parser.parse_args(argv)
    if arguments.workers < 1:
        raise UserError(f"--workers {arguments.workers} must be at least 1")
    options = ImportOptions(
        arguments.layout,
        arguments.source,
        arguments.images,
        arguments.fix_paths,
        arguments.caption_backend,
        arguments.image_column,
        arguments.caption_columns,
    )
    imported = import_set(options, arguments.output, arguments.license, arguments.workers, arguments.strict)
    if imported is None:
        return
    written = imported.written
    parts = [f"{split} {size['num_examples']} images" for split, size in written.sizes.items()]
    print(f"wrote {arguments.output}: {', '.join(parts)}, {written.captions} captions")
    for line in imported.told:
        print(line)


if __name__ == "__main__":
    run_command(main)
