"""The gallery's sub-commands of `unipt`: index, search, add, remove and info.

The modules that load torch, numpy or pyarrow are imported by the functions that need them, so that ``unipt --help``
answers at once.
"""

import argparse
import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..captions_unipt import normal_caption
from ..common.number_formats import DTYPE_HELP, DTYPES
from ..common.user_errors import UserError
from .constants import EMPTY_QUERY, EXACT_UP_TO, KINDS

if TYPE_CHECKING:
    import pyarrow

    from ..sources.base import FolderSource, Source
    from .gallery import PersonGallery, SearchResult
    from .metadata import Condition
    from .staging import AddReport

# `unipt info` shows so many values of a metadata column, and so many digits of the weights' SHA-256.
SHOWN_VALUES = 5
SHOWN_DIGITS = 16

INDEX_HELP = """Embed every image of IMAGES (one person in each) and write a gallery that can be searched.

IMAGES is one of
  a folder of image files, searched with its sub-folders,
  a tar file or a folder of tar files (WebDataset),
  a Parquet file, a folder of Parquet files, or a folder that save_to_disk of the datasets library wrote,
  the name of a dataset on the Hugging Face Hub,
  an LMDB folder with data.mdb.
IMAGES:SPLIT takes one split of a dataset. Columns of a dataset that hold single values become metadata, unless
--metadata names a file.

Images that cannot be read are counted, listed in GALLERY/rejected.jsonl and left out. What systems make beside images
(__MACOSX, ._*, @eaDir, thumbnails) is counted and left out. Of images with the very same bytes only the first is kept.
A gallery that is already complete is left alone. If the command is killed, run it again: it continues where it was."""
SEARCH_HELP = """Print the images of a gallery that fit best: rank, cosine similarity, path.

Describe one person in a sentence or two: age, gender, clothes with colours, hair, what he or she carries. With --image
the results resemble that image. With both, the score is the mean of the two similarities."""
ADD_HELP = """Embed more images into a gallery. Images whose very bytes are there already are counted and left out.

IMAGES are image files, or anything that `unipt index` takes. What is embedded is written to disk as the command goes.
If the command is killed, run it again: it continues where it was."""
REMOVE_HELP = """Take images out of a gallery, by file name (as `unipt search --json` prints it) or id.

Their rows stay in the gallery's files, marked as removed, until the images are indexed anew."""
INFO_HELP = """Print what a gallery holds: images, model, index with its measured recall, and metadata columns."""
WHERE_HELP = (
    "find only images whose metadata fulfil this condition, with = != < <= > or >=; all conditions must hold, but of "
    "several values of one column, as in --where camera=3 --where camera=4, one is enough"
)
METADATA_HELP = (
    ".csv, .parquet, .jsonl or .json file with one row for each image: the column file_name holds the image's name as "
    "`unipt search --json` prints it (its path relative to IMAGES), the other columns hold what --where can ask for"
)


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Add `index`, `search`, `add`, `remove` and `info` to the sub-commands of the `unipt` command."""
    index = _command(
        commands,
        "index",
        run_index,
        "embed images of people into a new gallery",
        INDEX_HELP,
        "unipt index crops/ --model unipt/unipt-tiny --output my-gallery --metadata cameras.csv",
    )
    index.add_argument("images", metavar="IMAGES", help="folder, tar file, Parquet file, LMDB or dataset (see above)")
    index.add_argument("--model", required=True, help="folder or Hugging Face Hub name of a UniPT model")
    index.add_argument("--revision", help="branch, tag or commit of a Hub model (default: its main branch)")
    index.add_argument("--output", required=True, metavar="GALLERY", help="folder to write; must be new")
    index.add_argument(
        "--index",
        choices=KINDS,
        help="how to search: exact compares all images; hnsw and ivf are faster and miss a few, and `unipt info` says "
        f"how many (default: exact up to {EXACT_UP_TO:,} images, ivf for more)",
    )

    search = _command(
        commands,
        "search",
        run_search,
        "find the images that fit a description or resemble an image",
        SEARCH_HELP,
        'unipt search my-gallery "an old man with a cane and a gray coat" --where camera=3 --contact-sheet found.png',
    )
    search.add_argument("gallery", metavar="GALLERY", help="folder written by unipt index")
    search.add_argument("query", metavar="DESCRIPTION", nargs="*", help="what the person looks like")
    search.add_argument("--image", metavar="FILE", help="an image that the results should resemble")
    search.add_argument("--top-k", default="10", metavar="K", help="number of results (default: 10)")
    search.add_argument("--where", action="append", default=[], metavar="COLUMN=VALUE", help=WHERE_HELP)
    search.add_argument("--contact-sheet", metavar="FILE", help="also write the results as one .png or .jpg image")

    add = _command(
        commands,
        "add",
        run_add,
        "embed more images into a gallery",
        ADD_HELP,
        "unipt add my-gallery new-crops/ --metadata new-cameras.csv",
    )
    add.add_argument("gallery", metavar="GALLERY", help="folder written by unipt index")
    add.add_argument("images", metavar="IMAGES", nargs="+", help="image files, or what unipt index takes")

    remove = _command(
        commands,
        "remove",
        run_remove,
        "take images out of a gallery",
        REMOVE_HELP,
        "unipt remove my-gallery cam_b/person_5.jpg",
    )
    remove.add_argument("gallery", metavar="GALLERY", help="folder written by unipt index")
    remove.add_argument("names", metavar="NAME", nargs="+", help="file name or id of an image")

    info = _command(commands, "info", run_info, "show what a gallery holds", INFO_HELP, "unipt info my-gallery")
    info.add_argument("gallery", metavar="GALLERY", help="folder written by unipt index")

    for command in (index, add):
        command.add_argument("--metadata", metavar="FILE", help=METADATA_HELP)
        command.add_argument("--batch-size", default="64", metavar="N", help="images embedded at once (default: 64)")
    for command in (search, add):
        command.add_argument("--model", help="where the gallery's model is now (default: where it was when indexing)")
    for command in (index, search, add):
        command.add_argument("--cpu", action="store_true", help="stay on the CPU even where there is a GPU")
        command.add_argument("--dtype", choices=DTYPES, default="auto", help=f"{DTYPE_HELP} (default: auto)")
    for command in (index, search, add, remove, info):
        command.add_argument("--json", action="store_true", help="print JSON, for scripts")


def _command(
    commands: argparse._SubParsersAction,
    name: str,
    run: Callable[[argparse.Namespace], None],
    summary: str,
    description: str,
    example: str,
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    return command


def run_index(arguments: argparse.Namespace) -> None:
    """`unipt index`."""
    batch_size = _positive(arguments.batch_size, "--batch-size")

    from ..common.output_folders import finish_output, start_output
    from ..sources.open import absolute_spec, open_source
    from .files import MANIFEST_FILE, GalleryFiles
    from .images import images_of_source
    from .metadata import metadata_table

    # Mistakes in these are told before the model is loaded, which takes seconds.
    source = open_source(arguments.images)
    location = absolute_spec(arguments.images)
    metadata = metadata_table(arguments.metadata)

    from ..loading import load_model
    from .gallery import PersonGallery

    model, processor = load_model(arguments.model, arguments.revision, "cpu" if arguments.cpu else None)
    gallery = PersonGallery(model, processor, location, arguments.index, arguments.revision, arguments.dtype)
    settings = _index_settings(gallery, source, arguments.metadata)
    partial = start_output(arguments.output, settings, keep_partial=True, defaults={"dtype": "auto"})
    if partial is None:
        if arguments.json:
            images = GalleryFiles.open(arguments.output).manifest.images
            _print_json({"gallery": arguments.output, "images": images})
        return
    if (partial / MANIFEST_FILE).exists():
        gallery = PersonGallery.load(partial, (model, processor), dtype=arguments.dtype)
        print(f"going on after {len(gallery)} images", file=sys.stderr)
    else:
        gallery.create_files(partial)
    report = gallery.add_found(images_of_source(source, location, location), metadata, batch_size)
    if not len(gallery):
        shutil.rmtree(partial)
        gallery.refuse_empty(f"of {location} ")
    finish_output(partial, arguments.output)
    if arguments.json:
        counts = {"images": len(gallery), "left_out": dict(source.left_out)}
        _print_json({"gallery": arguments.output, **counts, **_report_as_json(report)})
        return
    print(f"{len(gallery)} images indexed into {arguments.output}")
    if report.rejected:
        print(
            f"{len(report.rejected)} of {len(source)} could not be read and are left out; see "
            f"{Path(arguments.output, 'rejected.jsonl')}"
        )
    _print_report(report, gallery, metadata)


def _index_settings(gallery: "PersonGallery", source: "Source", metadata: str | None) -> dict[str, Any]:
    """The description of a gallery to be, which JSON can hold: the same one means the same result."""
    from ..sources.base import FolderSource

    settings = {
        "command": "index",
        "images": len(source),
        "listing": _listing(source) if isinstance(source, FolderSource) else source.fingerprint,
        "metadata": metadata and hashlib.sha256(Path(metadata).read_bytes()).hexdigest(),
        **gallery.header().settings(),
    }
    # Only if it was named, so that version 0.2, which has no such setting, recognises all other galleries.
    return settings if gallery.dtype == "auto" else settings | {"dtype": gallery.dtype}


def _listing(source: "FolderSource") -> str:
    """A digest of the names, sizes and times of the files in a folder.

    It is computed as version 0.1 did, whose galleries are recognised by it; ``source.fingerprint`` knows no times.
    """
    listing = hashlib.sha256()
    # Resolved, because the working folder may be another one when the command is run again.
    folder = source.folder.resolve()
    for name in source.paths:
        path = folder / name
        status = path.stat() if path.exists() else None
        listing.update(repr((name.as_posix(), status and (status.st_size, status.st_mtime_ns))).encode())
    return listing.hexdigest()


def run_search(arguments: argparse.Namespace) -> None:
    """`unipt search`."""
    from ..common.contact_sheet import check_sheet_path

    top_k = _positive(arguments.top_k, "--top-k")
    text = " ".join(arguments.query).strip()
    if not normal_caption(text):
        text = ""
    image = Path(arguments.image) if arguments.image else None
    if not text and not image:
        raise UserError(EMPTY_QUERY)
    sheet = Path(arguments.contact_sheet) if arguments.contact_sheet else None
    if sheet:
        check_sheet_path(sheet)
        if not sheet.parent.is_dir():
            raise UserError(f"--contact-sheet {sheet} cannot be written: folder {sheet.parent} does not exist")
    where = _conditions(arguments.where)

    from .gallery import PersonGallery

    gallery = PersonGallery.open(arguments.gallery)
    # Before the model is loaded, which takes seconds.
    gallery.check_where(where)
    gallery.use_model(arguments.model, "cpu" if arguments.cpu else None, arguments.dtype)
    results = gallery.search((text, image) if text and image else text or image, top_k, where)
    if arguments.json:
        names = gallery.file_names
        found = [
            {
                "rank": result.rank,
                "score": round(result.score, 6),
                "path": result.path,
                "file_name": names[result.index],
                "id": result.id,
                "metadata": result.metadata,
            }
            for result in results
        ]
        _print_json({"query": text or None, "image": arguments.image, "gallery": arguments.gallery, "results": found})
    else:
        for result in results:
            print(f"{result.rank:>4}  {result.score:+.4f}  {result.path}")
    if not results:
        print("no image of the gallery fulfils the conditions", file=sys.stderr)
    elif sheet:
        _write_contact_sheet(sheet, " + ".join(filter(None, [text, image and image.name])), gallery, results)


def _conditions(texts: list[str]) -> "list[Condition]":
    """``["camera=3", "camera=4", "day!=Monday"]`` as a list of (column, operator, value)."""
    equal: dict[str, list[str]] = {}
    others = []
    for text in texts:
        # The longer operators first: "camera<=3" must not be read as "camera" < "=3".
        parts = re.fullmatch(r"(.+?)(!=|<=|>=|=|<|>)(.*)", text, re.S)
        if not parts:
            raise UserError(f"--where {text!r} must be a column, one of = != < <= > >=, and a value, as in camera=3")
        column, operator, value = parts.groups()
        if operator == "=":
            equal.setdefault(column, []).append(value)
        else:
            others.append((column, operator, value))
    return [(column, "in", values) for column, values in equal.items()] + others


def _write_contact_sheet(path: Path, title: str, gallery: "PersonGallery", results: "list[SearchResult]") -> None:
    from ..common.contact_sheet import write_contact_sheet
    from ..common.image_files import UnreadableImage

    tiles = []
    for result in results:
        try:
            tiles.append((gallery.image_of(result.index), f"{result.rank}: {result.score:.2f}", None))
        except UnreadableImage as reason:
            raise UserError(
                f"no contact sheet: image {result.path} cannot be opened again; it is gone or damaged since it was "
                f"indexed ({reason})"
            ) from None
    write_contact_sheet(path, [(title, tiles)])
    print(f"wrote {path}", file=sys.stderr)


def run_add(arguments: argparse.Namespace) -> None:
    """`unipt add`."""
    batch_size = _positive(arguments.batch_size, "--batch-size")

    from .gallery import PersonGallery
    from .images import images_at, joined
    from .metadata import metadata_table

    gallery = PersonGallery.open(arguments.gallery)
    # Mistakes in these are told before the model is loaded, which takes seconds.
    metadata = metadata_table(arguments.metadata)
    found = joined([images_at(place, gallery.folder) for place in arguments.images])
    gallery.use_model(arguments.model, "cpu" if arguments.cpu else None, arguments.dtype)
    report = gallery.add_found(found, metadata, batch_size)
    if arguments.json:
        _print_json({"gallery": arguments.gallery, "images": len(gallery), **_report_as_json(report)})
        return
    print(f"{report.added} images added to {arguments.gallery}, which now has {len(gallery)}")
    there = report.unchanged + len(report.duplicates)
    if there:
        print(f"{there} of {len(found)} were already there")
    if report.rejected:
        print(
            f"{len(report.rejected)} of {len(found)} could not be read; see {Path(arguments.gallery, 'rejected.jsonl')}"
        )
    _print_report(report, gallery, metadata)


def _print_report(report: "AddReport", gallery: "PersonGallery", metadata: "pyarrow.Table | None") -> None:
    if report.duplicates:
        name, same = report.duplicates[0]
        print(
            f"{len(report.duplicates)} have the very bytes of another image, such as {name} of {same}, and are not "
            "added twice"
        )
    if report.replaced:
        print(f"{len(report.replaced)} have other bytes than before and replace what was there")
    if report.without_metadata:
        print(f"{report.without_metadata} of those added have no metadata")
    if report.unused_metadata:
        told = f"{report.unused_metadata} rows of the metadata name no image that was added"
        names = gallery.file_names
        unknown = set(metadata["file_name"].to_pylist()).difference(names)
        if unknown and names:
            told += f", such as '{min(unknown, key=str)}'; an image is called, for example, '{names[0]}'"
        print(told)


def _report_as_json(report: "AddReport") -> dict[str, Any]:
    return {
        "added": report.added,
        "unchanged": report.unchanged,
        "duplicates": [{"file_name": name, "same_as": same} for name, same in report.duplicates],
        "replaced": report.replaced,
        "rejected": [{"file_name": name, "reason": reason} for name, reason in report.rejected],
        "without_metadata": report.without_metadata,
        "unused_metadata": report.unused_metadata,
    }


def run_remove(arguments: argparse.Namespace) -> None:
    """`unipt remove`."""
    from .records import GalleryRecords

    gallery = GalleryRecords.open(arguments.gallery)
    removed = gallery.remove(arguments.names)
    if arguments.json:
        _print_json({"gallery": arguments.gallery, "removed": removed, "images": len(gallery)})
    else:
        print(f"{removed} images removed from {arguments.gallery}, which now has {len(gallery)}")


def run_info(arguments: argparse.Namespace) -> None:
    """`unipt info`."""
    from .records import GalleryRecords

    info = GalleryRecords.open(arguments.gallery).info()
    if arguments.json:
        _print_json({"gallery": arguments.gallery, **info})
        return
    for name, value in info.items():
        if name == "index":
            value = _index_in_words(value)
        elif name == "columns":
            value = "; ".join(_column_in_words(column, values) for column, values in value.items()) or "none"
        elif name == "weights":
            value = value[:SHOWN_DIGITS]
        elif name == "bytes":
            value = f"{value / 1e6:,.1f} MB on disk"
        print(f"{name + ':':<11} {value if value is not None else '-'}")


def _index_in_words(index: dict[str, Any]) -> str:
    words = str(index["kind"])
    if index["kind"] != "exact":
        words += f", recall@10 {index['recall_at_10']:.3f} against exact, measured on images of this gallery"
    return words + (f" ({index['trouble']}; the next search makes it again)" if index["trouble"] else "")


def _column_in_words(name: str, values: list[Any] | None) -> str:
    if values is None:
        return f"{name} (more than 200 values)"
    shown = ", ".join(map(str, values[:SHOWN_VALUES])) + (", ..." if len(values) > SHOWN_VALUES else "")
    return f"{name} ({shown})"


def _print_json(answer: dict[str, Any]) -> None:
    # Dates among the metadata are printed as texts.
    print(json.dumps(answer, indent=2, ensure_ascii=False, default=str))


def _positive(text: str, option: str) -> int:
    # Not by argparse's type=int, whose own message is no sentence of ours. isdigit() alone takes digits of any script.
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise UserError(f"{option} is {text!r}; it must be a whole number of at least 1")
    return int(text)
