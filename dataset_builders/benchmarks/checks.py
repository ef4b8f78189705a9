"""Is this the whole benchmark? Its identities, images and captions are compared with the published numbers."""

from collections.abc import Iterable, Mapping, Sequence

from modeling_unipt.common.user_errors import UserError

from .layouts import SPLITS, Benchmark, Counts, Record


def count(records: Iterable[Record]) -> Counts:
    """The numbers of identities, images and captions of some records."""
    records = list(records)
    people = {record.person_id for record in records}
    return Counts(len(people), len(records), sum(len(record.captions) for record in records))


def differences(official: Mapping[str, Counts], records: Sequence[Record]) -> list[str]:
    """What differs from the published numbers: phrases that name what was found and what was expected.

    Args:
        official: see :class:`dataset_builders.benchmarks.layouts.Layout`.
    """
    phrases = []
    for split in (*SPLITS, *(["all"] if "all" in official else [])):
        # A split that was not published must be empty.
        expected = official.get(split, Counts(0, 0, 0))
        found = count(record for record in records if split in (record.split, "all"))
        for kind, number, wanted in zip(Counts._fields, found, expected, strict=True):
            if wanted is not None and wanted != number:
                phrases.append(f"{split} has {number:,} {kind}, expected {wanted:,}")
    return phrases


def check_counts(benchmark: Benchmark, allow_partial: bool) -> list[str]:
    """Compare a benchmark's annotation with the published numbers.

    Returns:
        The differences; empty if there are none.

    Raises:
        UserError: there are some, and ``allow_partial`` is not set.
    """
    phrases = differences(benchmark.layout.official, benchmark.records)
    if phrases and not allow_partial:
        raise UserError(
            f"{benchmark.annotation} is not the whole {benchmark.layout.title}: {'; '.join(phrases)}; get the authors' "
            "own file, or pass --allow-partial to go on with this one"
        )
    return phrases


def check_images(benchmark: Benchmark, present: Iterable[Record], allow_partial: bool) -> list[str]:
    """Refuse missing images unless ``allow_partial`` is set.

    Args:
        present: the records whose image is a file.

    Returns:
        The paths that are missing.

    Raises:
        UserError: some are missing and ``allow_partial`` is not set, or all are missing.
    """
    there = {record.file_path for record in present}
    missing = [record.file_path for record in benchmark.records if record.file_path not in there]
    if missing and not (allow_partial and there):
        hint = "; complete the images, or pass --allow-partial to go on without them" if there else ""
        raise UserError(
            f"{len(missing)} of {len(benchmark.records)} annotated images are missing in {benchmark.images}, such as "
            f"{missing[0]}{hint}"
        )
    return missing


def check_readable(benchmark: Benchmark, rejected: Sequence[tuple[str, str]], allow_partial: bool) -> None:
    """Refuse unreadable images unless ``allow_partial`` is set.

    Args:
        rejected: (path, reason) of each unreadable image.

    Raises:
        UserError: there are some, and ``allow_partial`` is not set.
    """
    if rejected and not allow_partial:
        path, reason = rejected[0]
        raise UserError(
            f"{len(rejected)} annotated images in {benchmark.images} cannot be read, such as {path} ({reason}); "
            "replace them, or pass --allow-partial to go on without them"
        )
