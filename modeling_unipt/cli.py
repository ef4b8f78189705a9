"""The `unipt` command: a searchable gallery of person crops, from the shell."""

import argparse

from .common.user_errors import run_command
from .convert.commands import add_convert_command
from .gallery.commands import run_add, run_index, run_info, run_remove, run_search

EPILOG = """examples:
  unipt index crops/ --model unipt/unipt-tiny --output my-gallery
  unipt search my-gallery "a woman in a red coat with a black bag" --top-k 5 --contact-sheet found.png

Scores are cosine similarities. Results are suggestions to look at, not identifications."""
INDEX_HELP = """Embed every image below FOLDER (one person an image) and write a gallery to search in.

Images that cannot be read are counted, listed in GALLERY/rejected.jsonl and left out; of files with the very same bytes
one is kept. A gallery that is already complete is left alone. Killed at any moment, the same command goes on."""
SEARCH_HELP = """Print the images of a gallery that fit best: rank, cosine similarity, path.

Describe one person in a sentence or two: age, gender, clothes with colours, hair, what he or she carries. With --image
the results resemble a picture; with both, the score is the mean of the two similarities."""
ADD_HELP = """Embed more images into a gallery. Files whose very bytes are there already are counted and left out.

IMAGES are folders, searched with their sub-folders, or files. What is embedded is on disk as the command goes; killed
at any moment, the same command goes on."""
REMOVE_HELP = """Take images out of a gallery, by file name (as `unipt search --json` prints it) or id.

Their rows stay in the gallery's files, marked as removed, until the images are indexed anew."""
INFO_HELP = """Print what a gallery holds: images, model, index with its measured recall, and metadata columns."""
WHERE_HELP = (
    "only images whose metadata say so, with = != < <= > or >=; of several conditions all must hold, but for several "
    "values of one column, as in --where camera=3 --where camera=4, of which any may"
)
METADATA_HELP = (
    ".csv, .parquet or .jsonl file with a row an image: in the column file_name its path relative to the gallery's "
    "folder, in the others what to search by with --where"
)


def make_parser():
    def subparser(name, run, help, description, example):
        command = commands.add_parser(
            name,
            help=help,
            description=description,
            epilog="example:\n  " + example,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=run)
        return command

    parser = argparse.ArgumentParser(
        prog="unipt",
        description="Search photographs of people by description.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    index = subparser(
        "index",
        run_index,
        "embed a folder of person crops into a gallery",
        INDEX_HELP,
        "unipt index crops/ --model unipt/unipt-tiny --output my-gallery --metadata cameras.csv",
    )
    index.add_argument("folder", metavar="FOLDER", help="folder of images, searched with its sub-folders")
    index.add_argument("--model", required=True, help="folder or Hugging Face Hub name of a UniPT model")
    index.add_argument("--revision", help="branch, tag or commit of a Hub model (default: its main branch)")
    index.add_argument("--output", required=True, metavar="GALLERY", help="folder to write; must be new")
    index.add_argument(
        "--index",
        choices=("exact", "hnsw", "ivf"),
        help="how to search: exact compares all images, hnsw and ivf are faster and miss a few, see unipt info "
        "(default: exact up to 500,000 images, ivf for more)",
    )

    search = subparser(
        "search",
        run_search,
        "find the images that fit a description, or resemble a picture",
        SEARCH_HELP,
        'unipt search my-gallery "an old man with a cane and a gray coat" --where camera=3 --contact-sheet found.png',
    )
    search.add_argument("gallery", metavar="GALLERY", help="folder written by unipt index")
    search.add_argument("query", metavar="DESCRIPTION", nargs="*", help="what the person looks like")
    search.add_argument("--image", metavar="FILE", help="a picture that the results should resemble")
    search.add_argument("--top-k", default="10", metavar="K", help="number of results (default: 10)")
    search.add_argument("--where", action="append", default=[], metavar="COLUMN=VALUE", help=WHERE_HELP)
    search.add_argument("--contact-sheet", metavar="PICTURE", help="also write the results as a .png or .jpg picture")

    add = subparser(
        "add",
        run_add,
        "embed more images into a gallery",
        ADD_HELP,
        "unipt add my-gallery new-crops/ --metadata new-cameras.csv",
    )
    add.add_argument("gallery", metavar="GALLERY", help="folder written by unipt index")
    add.add_argument("images", metavar="IMAGES", nargs="+", help="folders or files")

    remove = subparser(
        "remove",
        run_remove,
        "take images out of a gallery",
        REMOVE_HELP,
        "unipt remove my-gallery cam_b/person_5.jpg",
    )
    remove.add_argument("gallery", metavar="GALLERY", help="folder written by unipt index")
    remove.add_argument("names", metavar="NAME", nargs="+", help="file name or id of an image")

    info = subparser("info", run_info, "show what a gallery holds", INFO_HELP, "unipt info my-gallery")
    info.add_argument("gallery", metavar="GALLERY", help="folder written by unipt index")

    add_convert_command(commands)

    for command in (index, add):
        command.add_argument("--metadata", metavar="FILE", help=METADATA_HELP)
        command.add_argument("--batch-size", default="64", metavar="N", help="images embedded at once (default: 64)")
    for command in (search, add):
        command.add_argument("--model", help="where the gallery's model is now (default: where it was when indexing)")
    for command in (index, search, add):
        command.add_argument("--cpu", action="store_true", help="stay on the CPU even where there is a GPU")
    for command in (index, search, add, remove, info):
        command.add_argument("--json", action="store_true", help="print JSON, for scripts")
    return parser


def main(argv=None):
    arguments = make_parser().parse_args(argv)
    run_command(lambda: arguments.run(arguments))


if __name__ == "__main__":
    main()
