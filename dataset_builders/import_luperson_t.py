"""Read the LUPerson-T that the authors of UniPT released into the columns that dataset_builders.luperson_t writes.

    python -m dataset_builders.import_luperson_t --source luperson-t.json --images LUPerson --output luperson-t
    python -m dataset_builders.import_luperson_t --source LUPerson_clip_128w_phrase_arrow --output luperson-t

The release comes as a JSON list of {file_path, captions, id} beside an image folder, or as Arrow files with the columns
image (JPEG bytes), caption, image_id and split. It has captions alone: attributes, their probabilities and the scores
of captions are not known and are null.
"""

import argparse
import hashlib
import json
import shutil
from collections import Counter
from pathlib import Path, PurePosixPath

import pyarrow

from modeling_unipt.common.image_files import UnreadableImage, write_rejected
from modeling_unipt.common.output_folders import finish_output, start_output
from modeling_unipt.common.user_errors import UserError, run_command
from modeling_unipt.sources.base import FolderSource, Source, read_batches
from modeling_unipt.sources.reading import fingerprint, image_ids, readable

from .divide.reading import load_vocabulary
from .luperson_t.rows import columns_of
from .output.parquet_dataset import SHARD_ROWS, ShardWriter, arrow_schema, shard_paths
from .report.card import write_import_card

CAPTION_BACKEND = "luperson-t"
ARROW_COLUMNS = ("image", "caption", "image_id", "split")
BATCH = 64


class JsonRelease(FolderSource):
    """The JSON list with its image folder; all images are of the split ``train``.

    Raises:
        UserError: a file is missing, or an entry is not what it should be.
    """

    def __init__(self, annotation, images):
        if images is None:
            raise UserError(f"{annotation} names image files; give their folder with --images")
        if not Path(images).is_dir():
            raise UserError(f"folder {images} does not exist; give the folder that the file_path of {annotation} is in")
        content = Path(annotation).read_bytes()
        try:
            entries = json.loads(content)
        except ValueError as error:
            raise UserError(f"{annotation} is not valid JSON ({error})") from None
        if not isinstance(entries, list) or not entries:
            raise UserError(f"{annotation} must be a JSON list of {{file_path, captions}} that is not empty")
        listed = [_entry(annotation, number, entry) for number, entry in enumerate(entries)]
        self.texts = [captions for _, captions in listed]
        super().__init__(images, [Path(path) for path, _ in listed])
        self.fingerprint += f", annotation {hashlib.sha256(content).hexdigest()[:12]}"
        self.splits = {"train": range(len(listed))}

    def captions(self, position):
        return self.texts[position]


def _entry(annotation, number, entry):
    where = f"{annotation}: entry {number} (counted from 0)"
    if not isinstance(entry, dict) or not {"file_path", "captions"} <= set(entry):
        raise UserError(
            f"{where} must be a mapping with file_path and captions, as in the LUPerson-T that was released"
        )
    path, captions = entry["file_path"], _captions(entry["captions"])
    if captions is None:
        raise UserError(f"{where}: 'captions' must be a list of texts that is not empty")
    if not isinstance(path, str) or not path or PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise UserError(f"{where}: 'file_path' must be a path below the image folder, not {path!r}")
    return _text(path), captions


def _text(value):
    """Without the halves of characters that JSON can hold and no file can."""
    return value.encode("utf-8", "replace").decode()


def _captions(value):
    """Stripped texts, or None where it is no list of them."""
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        return None
    return [_text(text.strip()) for text in value if text.strip()] or None


class ArrowRelease(Source):
    """Arrow IPC files, mapped into memory and not loaded; a row's split is its column's.

    Raises:
        UserError: a file cannot be read or lacks a column, or there is no row.
    """

    def __init__(self, path, files):
        self.files = [str(file) for file in files]
        self.rows = _tables(self.files)
        if not len(self.rows):
            raise UserError(f"{path} holds Arrow files without a row")
        names = [PurePosixPath(str(name)) for name in self.rows["image_id"].to_pylist()]
        self.ids = image_ids(names)
        self.splits = {}
        for position, split in enumerate(self.rows["split"].to_pylist()):
            if not isinstance(split, str) or not split.isidentifier():
                raise UserError(f"{path}: row {position} (counted from 0) has the split {split!r}, which is no name")
            self.splits.setdefault(split, []).append(position)
        self.fingerprint = fingerprint(files[0].parent, [Path(file.name) for file in files])

    def content(self, position):
        data = self.rows["image"][position].as_py()
        if not data:
            raise UnreadableImage("zero bytes")
        return data, Path(str(self.rows["image_id"][position])).name

    def captions(self, position):
        return _captions(self.rows["caption"][position].as_py())

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "rows"}

    def __setstate__(self, state):
        vars(self).update(state)
        self.rows = _tables(self.files)


def _tables(files):
    tables = []
    for file in files:
        mapped = pyarrow.memory_map(file)
        try:
            try:
                table = pyarrow.ipc.open_file(mapped).read_all()
            except pyarrow.ArrowInvalid:  # the other of Arrow's two layouts
                mapped.seek(0)
                table = pyarrow.ipc.open_stream(mapped).read_all()
        except pyarrow.ArrowException as error:
            raise UserError(f"{file} cannot be read as an Arrow file ({error})") from None
        missing = [name for name in ARROW_COLUMNS if name not in table.column_names]
        if missing:
            raise UserError(
                f"{file} lacks the columns {', '.join(missing)}; the LUPerson-T that was released has "
                f"{', '.join(ARROW_COLUMNS)}"
            )
        tables.append(table.select(ARROW_COLUMNS))
    try:
        return pyarrow.concat_tables(tables)
    except pyarrow.ArrowException as error:
        raise UserError(f"the Arrow files do not fit together ({error})") from None


def open_release(source, images=None):
    """The release that ``--source`` names, as a :class:`modeling_unipt.sources.open.Source` with ``splits``
    (split -> positions) and ``captions(position)`` (list of texts, or None).

    Raises:
        UserError: it is neither of the two layouts.
    """
    path = Path(source)
    files = sorted(path.glob("*.arrow")) if path.is_dir() else [path] if path.suffix == ".arrow" else []
    if files and path.exists():
        if images is not None:
            raise UserError(f"{path} holds the images itself; leave --images out")
        return ArrowRelease(path, files)
    if path.is_file() and path.suffix == ".json":
        return JsonRelease(path, images)
    known = "give the JSON list of {file_path, captions}, or the folder of LUPerson_*.arrow files"
    if not path.exists():
        raise UserError(f"{path} does not exist; {known}")
    raise UserError(f"{path} is not the LUPerson-T that was released; {known}")


def build(folder, release, columns, workers):
    """Write the shards.

    Returns:
        (split -> {"num_bytes", "num_examples"}, number of captions, [(image, reason)] of those left out).
    """
    from tqdm import tqdm

    schema, splits, rejected, captions = arrow_schema(columns), {}, [], 0
    with tqdm(total=len(release), desc="LUPerson-T", unit="image") as bar:
        for split, positions in release.splits.items():
            splits[split] = Counter(num_bytes=0, num_examples=0)
            for shard, relative in enumerate(shard_paths(split, len(positions))):
                in_shard = positions[shard * SHARD_ROWS : (shard + 1) * SHARD_ROWS]
                with ShardWriter(folder / relative, schema) as writer:
                    for batch in read_batches(release, in_shard, BATCH, workers):
                        for position, image in batch:
                            texts = release.captions(position)
                            if isinstance(image, str) or not texts:
                                rejected.append((release.name(position), image if texts else "has no caption"))
                                continue
                            writer.write(_row(release.ids[position], image, texts))
                            captions += len(texts)
                        bar.update(len(batch))
                splits[split].update(num_bytes=writer.bytes, num_examples=writer.rows)
    for split, counts in splits.items():
        if not counts["num_examples"]:
            raise UserError(
                f"no image of the split '{split}' can be used; the first, {rejected[0][0]}, is refused because: "
                f"{rejected[0][1]}"
            )
    return {split: dict(counts) for split, counts in splits.items()}, captions, rejected


def _row(image_id, image, captions):
    return {
        "image": {"bytes": image.data, "path": image.file_name},
        "image_id": image_id,
        "captions": captions,
        "caption_scores": None,
        "caption_backends": [CAPTION_BACKEND] * len(captions),
        "attributes": None,
        "attribute_probabilities": None,
        "duplicate_of": None,
    }


def main(argv=None):
    parser = argparse.ArgumentParser(
        prog="python -m dataset_builders.import_luperson_t",
        description="Read the LUPerson-T that was released with the paper into a folder of Parquet shards, for "
        "load_dataset and train/pretrain.py. Images that cannot be used are listed in rejected.jsonl.",
        epilog="example: python -m dataset_builders.import_luperson_t --source LUPerson_clip_128w_phrase_arrow "
        "--output luperson-t",
    )
    parser.add_argument(
        "--source", required=True, help="JSON list of {file_path, captions}, or an Arrow file or a folder of them"
    )
    parser.add_argument("--images", help="folder that the file_path of a JSON list is in; Arrow files hold the images")
    parser.add_argument("--output", required=True, help="folder for the dataset; must be new")
    parser.add_argument("--workers", type=int, default=1, help="threads that read and decode images (default: 1)")
    parser.add_argument("--license", default="other", help="licence named in the dataset card (default: other)")
    arguments = parser.parse_args(argv)
    if arguments.workers < 1:
        raise UserError(f"--workers {arguments.workers} must be at least 1")
    release = open_release(arguments.source, arguments.images)
    vocabulary = load_vocabulary()
    columns = columns_of(vocabulary)
    folder = start_output(arguments.output, {"release": release.fingerprint, "license": arguments.license})
    if folder is None:
        return
    try:
        splits, captions, rejected = build(folder, release, columns, arguments.workers)
    except UserError:
        shutil.rmtree(folder)
        raise
    write_rejected(folder / "rejected.jsonl", [(readable(name), reason) for name, reason in rejected])
    write_import_card(folder, columns, vocabulary, splits, captions, rejected, arguments.license)
    finish_output(folder, arguments.output)
    told = ", ".join(f"{split} {counts['num_examples']} images" for split, counts in splits.items())
    refused = f"; {len(rejected)} images were refused, see rejected.jsonl in it" if rejected else ""
    print(f"wrote {arguments.output}: {told}, {captions} captions{refused}")


if __name__ == "__main__":
    run_command(main)
