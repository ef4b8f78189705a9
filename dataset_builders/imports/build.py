"""Import a set: read it, look at what is odd in it, write its rows, and write its card."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from modeling_unipt.common.output_folders import finish_output, start_output
from modeling_unipt.common.user_errors import UserError

from ..divide.reading import load_vocabulary
from ..luperson_t.columns import columns_of
from ..report.import_card import ImportFacts, write_import_card
from .base import ImportedSet
from .layouts import LAYOUTS
from .opening import ImportOptions, known_sources, open_set
from .store import RowStore
from .writing import WrittenRows, check_splits, write_rows

DEFAULT_LAYOUT = "luperson-t"
DEFAULT_LICENSE = "other"


@dataclass(frozen=True)
class Imported:
    """What was written, and sentences about what was mended, merged or left out."""

    written: WrittenRows
    told: list[str]


def import_set(
    options: ImportOptions,
    output: Path | str,
    license_name: str = DEFAULT_LICENSE,
    workers: int = 1,
    strict: bool = False,
) -> Imported | None:
    """Write the dataset.

    Args:
        options: what to read.
        license_name: the licence that the dataset card names.
        workers: threads that read and decode images.
        strict: refuse a set in which anything is odd, mended or left out.

    Returns:
        What was written, or None if the output is complete already.

    Raises:
        UserError: the set or the output is not what it should be, no image of a split can be used, or ``strict``.
    """
    imported = open_set(options)
    store = RowStore(output)
    try:
        return _import(imported, store, options, Path(output), license_name, workers, strict)
    finally:
        store.close()


def _import(
    imported: ImportedSet,
    store: RowStore,
    options: ImportOptions,
    output: Path,
    license_name: str,
    workers: int,
    strict: bool,
) -> Imported | None:
    imported.read(store)
    check_splits(store.splits())
    if not len(store):
        raise UserError(f"{options.source[0]} names no image; {known_sources(options.layout)}")
    faults = _faults_of_texts(imported, store)
    told = [*_merged(store), *faults]
    if strict:
        imported.oddities.refuse()
        missing = imported.missing(store)
        _refuse(faults + ([f"{missing:,} of the images that it names are missing"] if missing else []))
    settings = {
        "release": imported.fingerprint,
        "license": license_name,
        "layout": options.layout,
        "caption_backend": options.caption_backend,
        "caption_columns": list(options.caption_columns),
    }
    # Older versions do not know these. A setting is written only where it is another than theirs.
    defaults = {"layout": DEFAULT_LAYOUT, "caption_backend": None, "caption_columns": []}
    settings = {name: value for name, value in settings.items() if value != defaults.get(name, ...)}
    folder = start_output(output, settings, defaults=defaults | {"license": DEFAULT_LICENSE})
    if folder is None:
        return None
    vocabulary = load_vocabulary()
    columns = {**columns_of(vocabulary), **{name: column.type for name, column in imported.columns.items()}}
    described = LAYOUTS[options.layout]
    try:
        written = write_rows(folder, columns, imported, store, workers, described.layout.title)
        left_out = _left_out(written)
        if strict:
            _refuse(left_out)
    except BaseException:
        shutil.rmtree(folder)
        raise
    facts = ImportFacts(
        title=described.layout.title,
        about=None if options.layout == DEFAULT_LAYOUT else described.about,
        layout=options.layout,
        columns={name: column.about for name, column in imported.columns.items()},
        splits=written.sizes,
        captions=written.captions,
        backends=written.backends,
        rejected=written.rejected,
        told=told + left_out,
        odd=imported.oddities.card_section(),
        license=license_name,
    )
    write_import_card(folder, columns, vocabulary, facts)
    finish_output(folder, output)
    return Imported(written, imported.told + told + left_out + imported.oddities.lines())


def _refuse(faults: Sequence[str]) -> None:
    """Refuse a set that has faults, as ``--strict`` asks for."""
    if faults:
        raise UserError(f"--strict refuses this set: {'; '.join(faults)}; mend it, or leave --strict out")


def _merged(store: RowStore) -> list[str]:
    """What is told of images that are listed several times. A list with one entry for each caption has no fault."""
    if not store.repeated:
        return []
    return [
        f"listings of an image that was listed before: {store.repeated:,}; such an image is one row with all of its "
        "captions"
    ]


def _faults_of_texts(imported: ImportedSet, store: RowStore) -> list[str]:
    """What was mended or left out of what the set says of its images."""
    captions = imported.captions
    faults = []
    if store.contradicting:
        faults.append(
            f"listings that say something else of an image than an earlier one, which counts: {store.contradicting:,}"
        )
    overlap = store.in_several_splits()
    if overlap:
        faults.append(f"images that are in more than one split, and stay there: {overlap:,}")
    if captions.blank:
        faults.append(f"blank captions left out: {captions.blank:,}")
    if captions.noise:
        faults.append(
            f"captions left out that hold 'description]' or '<', as texts of language models that went wrong do: "
            f'{captions.noise:,}, such as "{captions.noise_example:.80}"'
        )
    if captions.ends:
        faults.append(f'captions whose end, a literal "/n" or "\\n", was cut off: {captions.ends:,}')
    return faults


def _left_out(written: WrittenRows) -> list[str]:
    """What is told of images that were refused."""
    if not written.rejected:
        return []
    parts = [f"{number:,} {what}" for what, number in sorted(written.refused.items())]
    refused = "1 image was" if written.rejected == 1 else f"{written.rejected:,} images were"
    return [f"{refused} refused ({', '.join(parts)}); rejected.jsonl lists them"]
