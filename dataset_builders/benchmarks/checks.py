"""Is this the whole benchmark? Its identities, images and captions are compared with the published numbers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from modeling_unipt.common.user_errors import UserError

from .layouts import SPLITS, Counts, Record
from .reading import Benchmark


@dataclass(frozen=True)
class Verdict:
    """What is known of a split of a copy.

    Attributes:
        is_official: whether its scores are comparable with published ones; None if its numbers were not published.
        reasons: why they are not, as phrases; empty if they are.
    """

    is_official: bool | None
    reasons: list[str]

    def __str__(self) -> str:
        if self.reasons:
            return "; ".join(self.reasons)
        return "official" if self.is_official else "numbers not published"


def count(records: Iterable[Record]) -> Counts:
    """The numbers of identities, images and captions of some records."""
    records = list(records)
    people = {record.person_id for record in records}
    return Counts(len(people), len(records), sum(len(record.captions) for record in records))


def differences(
    official: Mapping[str, Counts], records: Sequence[Record], splits: Sequence[str] = (*SPLITS, "all")
) -> dict[str, list[str]]:
    """What differs from the published numbers.

    Args:
        official: see :class:`dataset_builders.benchmarks.layouts.BenchmarkLayout`.
        splits: those to compare.

    Returns:
        Split, or "all" -> phrases that name what was found and what was expected. What does not differ is left out.
    """
    found = {}
    # A split that was not published must be empty, unless only the numbers of all splits together were published.
    unknown = Counts(None, None, None) if set(official) == {"all"} else Counts(0, 0, 0)
    for split in splits:
        if split == "all" and split not in official:
            continue
        expected = official.get(split, unknown)
        numbers = count(record for record in records if split in (record.split, "all"))
        phrases = []
        for kind, number, wanted in zip(Counts._fields, numbers, expected, strict=True):
            if wanted is not None and wanted != number:
                phrases.append(f"{split} has {number:,} {kind}, expected {wanted:,}")
        if phrases:
            found[split] = phrases
    return found


def check_counts(benchmark: Benchmark, allow_partial: bool) -> dict[str, list[str]]:
    """Compare a benchmark's annotation with the published numbers, as far as its splits were asked for.

    Returns:
        The differences, as :func:`differences` gives them.

    Raises:
        UserError: there are some, and ``allow_partial`` is not set.
    """
    layout = benchmark.layout
    found = differences(
        layout.official, benchmark.records, (*SPLITS, "all") if benchmark.is_whole else benchmark.splits
    )
    if not found or allow_partial:
        return found
    phrases = [phrase for each in found.values() for phrase in each]
    blank = [record for record in [*benchmark.records, *benchmark.without_caption] if record.blank]
    if blank:
        phrases.append(
            f"blank captions, which do not count: {sum(record.blank for record in blank):,}, such as of "
            f"{blank[0].file_path}"
        )
    complete = [split for split in benchmark.splits if split in layout.official and split not in found]
    alone = f", take what is complete by --splits {' '.join(complete)}" if complete and "all" not in found else ""
    part = "" if benchmark.is_whole else f" in the split {' and '.join(benchmark.splits)}"
    raise UserError(
        f"{benchmark.annotation} is not the whole {layout.title}{part}: {'; '.join(phrases)}; get the authors' own "
        f"file{alone}, or pass --allow-partial to go on with this one"
    )


def verdicts(
    benchmark: Benchmark, differing: Mapping[str, Sequence[str]], left_out: Mapping[str, int]
) -> dict[str, Verdict]:
    """The verdict on each split of a copy.

    Args:
        differing: in what the annotation differs from the published numbers, as :func:`differences` gives it.
        left_out: split -> its annotated images that are missing, unreadable or without a caption.
    """
    official = benchmark.layout.official
    found = {}
    for split in benchmark.splits:
        reasons = [*differing.get(split, [])]
        published = official.get(split, Counts(None, None, None))
        if None in published:
            # Only the numbers of all splits together can tell more.
            reasons += differing.get("all", [])
        if left_out.get(split):
            reasons.append(f"annotated images left out: {left_out[split]:,}")
        known = published != Counts(None, None, None) or ("all" in official and benchmark.is_whole)
        found[split] = Verdict(not reasons if reasons or known else None, reasons)
    return found


def check_images(benchmark: Benchmark, allow_partial: bool) -> list[Record]:
    """Refuse missing images unless ``allow_partial`` is set.

    Returns:
        The records whose image is missing.

    Raises:
        UserError: some are missing and ``allow_partial`` is not set, or all are missing or have no caption.
    """
    if not benchmark.records:
        raise UserError(
            f"not one of the {len(benchmark.without_caption)} images in {benchmark.annotation} has a caption that is "
            "not blank; get the authors' own file"
        )
    missing = [record for record in benchmark.records if not record.is_there]
    there = len(missing) < len(benchmark.records)
    if not missing or (allow_partial and there):
        return missing
    complete = [split for split in benchmark.splits if all(split != record.split for record in missing)]
    alone = f" take what is complete by --splits {' '.join(complete)}," if complete else ""
    if there:
        hint = f"complete the images,{alone} or pass --allow-partial to go on without them"
    else:
        hint = f"that folder holds {benchmark.paths.images.count():,} images, none of which this annotation names"
    raise UserError(
        f"{len(missing)} of {len(benchmark.records)} annotated images are missing in {benchmark.images}, such as "
        f"{missing[0].file_path}; {hint}"
    )


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
