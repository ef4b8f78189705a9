"""The `unipt` command: index a folder of person crops, and search it by description."""

import argparse
import json
import shutil
import sys
from pathlib import Path

from .convert import add_convert_command
from .user_errors import UserError, run_command

EPILOG = """examples:
  unipt index crops/ --model unipt/unipt-tiny --output my-gallery
  unipt search my-gallery "a woman in a red coat with a black bag" --top-k 5 --contact-sheet found.png

Scores are cosine similarities. Results are suggestions to look at, not identifications."""
INDEX_HELP = """Embed every image below FOLDER (one person an image) and write a gallery to search in.

Images that cannot be read are counted, listed in GALLERY/rejected.jsonl and left out. A gallery that is already
complete is left alone."""
SEARCH_HELP = """Print the images of a gallery that fit a description best: rank, cosine similarity, path.

Describe one person in a sentence or two: age, gender, clothes with colours, hair, what he or she carries."""
SHEET_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}


def make_parser():
    def subparser(name, help, description, example):
        return commands.add_parser(
            name,
            help=help,
            description=description,
            epilog="example:\n  " + example,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    parser = argparse.ArgumentParser(
        prog="unipt",
        description="Search photographs of people by description.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    index = subparser(
        "index",
        "embed a folder of person crops into a gallery",
        INDEX_HELP,
        "unipt index crops/ --model unipt/unipt-tiny --output my-gallery",
    )
    index.add_argument("folder", metavar="FOLDER", help="folder of images, searched with its sub-folders")
    index.add_argument("--model", required=True, help="folder or Hugging Face Hub name of a UniPT model")
    index.add_argument("--revision", help="branch, tag or commit of a Hub model (default: its main branch)")
    index.add_argument("--output", required=True, metavar="GALLERY", help="folder to write; must be new")
    index.add_argument("--batch-size", default="64", metavar="N", help="images embedded at once (default: 64)")
    index.set_defaults(run=run_index)

    search = subparser(
        "search",
        "find the images that fit a description",
        SEARCH_HELP,
        'unipt search my-gallery "an old man with a cane and a gray coat" --top-k 5 --contact-sheet found.png',
    )
    search.add_argument("gallery", metavar="GALLERY", help="folder written by unipt index")
    search.add_argument("query", metavar="DESCRIPTION", nargs="+", help="what the person looks like")
    search.add_argument("--top-k", default="10", metavar="K", help="number of results (default: 10)")
    search.add_argument("--contact-sheet", metavar="PICTURE", help="also write the results as a .png or .jpg picture")
    search.add_argument("--json", action="store_true", help="print the results as JSON, for scripts")
    search.add_argument("--model", help="where the gallery's model is now (default: where it was when indexing)")
    search.set_defaults(run=run_search)
    add_convert_command(commands)
    for command in (index, search):
        command.add_argument("--cpu", action="store_true", help="stay on the CPU even where there is a GPU")
    return parser


def run_index(arguments):
    batch_size = _positive(arguments.batch_size, "--batch-size")

    from .image_files import find_images

    names = find_images(arguments.folder)

    from .gallery import PersonGallery, gallery_settings, load_model
    from .output_folders import finish_output, start_output

    model, processor = load_model(arguments.model, arguments.revision, "cpu" if arguments.cpu else None)
    folder = Path(arguments.folder).resolve()
    partial = start_output(arguments.output, gallery_settings(folder, names, model, arguments.revision))
    if partial is None:
        return
    try:
        gallery = PersonGallery.from_folder(folder, (model, processor), arguments.revision, batch_size)
        gallery.write(partial)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    finish_output(partial, arguments.output)
    print(f"{len(gallery)} images indexed into {arguments.output}")
    if gallery.rejected:
        print(
            f"{len(gallery.rejected)} of {len(names)} could not be read and are left out; see "
            f"{Path(arguments.output, 'rejected.jsonl')}"
        )


def run_search(arguments):
    top_k = _positive(arguments.top_k, "--top-k")
    query = " ".join(arguments.query).strip()
    if not query:
        raise UserError('the query is empty; describe a person, as in "a woman in a red coat with a black bag"')
    sheet = arguments.contact_sheet and Path(arguments.contact_sheet)
    if sheet and sheet.suffix.lower() not in SHEET_SUFFIXES:
        raise UserError(f"--contact-sheet {sheet} must end in one of {', '.join(sorted(SHEET_SUFFIXES))}")
    if sheet and not sheet.parent.is_dir():
        raise UserError(f"--contact-sheet {sheet} cannot be written: folder {sheet.parent} does not exist")

    from .gallery import PersonGallery

    gallery = PersonGallery.load(arguments.gallery, arguments.model, "cpu" if arguments.cpu else None)
    results = gallery.search(query, top_k)
    if arguments.json:
        found = [{"rank": result.rank, "score": round(result.score, 6), "path": result.path} for result in results]
        print(
            json.dumps({"query": query, "gallery": arguments.gallery, "results": found}, indent=2, ensure_ascii=False)
        )
    else:
        for result in results:
            print(f"{result.rank:>4}  {result.score:+.4f}  {result.path}")
    if sheet:
        _write_contact_sheet(sheet, query, results)


def _write_contact_sheet(path, query, results):
    from .contact_sheet import contact_sheet
    from .image_files import UnreadableImage, read_image

    tiles = []
    for result in results:
        try:
            tiles.append((read_image(result.path), f"{result.rank}: {result.score:.2f}", None))
        except UnreadableImage:
            raise UserError(f"no contact sheet: image {result.path} is gone or damaged since it was indexed") from None
    contact_sheet([(query, tiles)]).save(path)
    print(f"wrote {path}", file=sys.stderr)


def _positive(text, option):
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise UserError(f"{option} is {text!r}; it must be a whole number of at least 1")
    return int(text)


def main(argv=None):
    arguments = make_parser().parse_args(argv)
    run_command(lambda: arguments.run(arguments))


if __name__ == "__main__":
    main()
