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
from .opening import ImportOptions, open_set
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
    told = _told_by_reading(imported, store)
    settings = {
        "release": imported.fingerprint,
        "license": license_name,
        "layout": options.layout,
        "caption_backend": options.caption_backend,
        "strict": strict,
    }
    defaults = {"license": DEFAULT_LICENSE, "layout": DEFAULT_LAYOUT, "strict": False}
    folder = start_output(output, settings, defaults=defaults)
    if folder is None:
        return None
    vocabulary = load_vocabulary()
    columns = {**columns_of(vocabulary), **{name: column.type for name, column in imported.columns.items()}}
    described = LAYOUTS[options.layout]
    try:
        if strict:
            imported.oddities.refuse()
            _refuse(told)
        written = write_rows(folder, columns, imported, store, workers, described.layout.title)
        told += _told_by_writing(written)
        if strict:
            _refuse(told)
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
        told=told,
        odd=imported.oddities.card_section(),
        license=license_name,
    )
    write_import_card(folder, columns, vocabulary, facts)
    finish_output(folder, output)
    return Imported(written, told + imported.oddities.lines())


def _refuse(told: Sequence[str]) -> None:
    """Refuse a set of which something was told."""
    if told:
        raise UserError(f"--strict refuses this set: {'; '.join(told)}; mend it, or leave --strict out")


def _told_by_reading(imported: ImportedSet, store: RowStore) -> list[str]:
    """What was mended, merged or left out of the captions."""
    captions = imported.captions
    told = list(imported.told)
    if store.repeated:
        told.append(
            f"{store.repeated:,} listings repeat an image that was listed before; each such image is one row with all "
            "of its captions"
        )
    if store.contradicting:
        told.append(
            f"{store.contradicting:,} of these say something else of the image than its first listing, which counts"
        )
    if captions.blank:
        told.append(f"{captions.blank:,} captions are blank and were left out")
    if captions.noise:
        told.append(
            f"{captions.noise:,} captions hold 'description]' or '<', as texts of language models that went wrong do, "
            f'and were left out; the first is "{captions.noise_example:.80}"'
        )
    if captions.ends:
        told.append(f'{captions.ends:,} captions end in a literal "/n" or "\\n", which was cut off')
    return told


def _told_by_writing(written: WrittenRows) -> list[str]:
    """What was left out of the images."""
    told = []
    if written.rejected:
        parts = [f"{number:,} {what}" for what, number in sorted(written.refused.items())]
        told.append(f"{written.rejected:,} images were refused ({', '.join(parts)}), see rejected.jsonl")
    return told
