"""Is this the whole benchmark? Its identities, images and captions counted against those that its authors published."""

from modeling_unipt.common.user_errors import UserError

from .layouts import SPLITS

KINDS = ("identities", "images", "captions")
# Split -> numbers in the order of KINDS; None where no number was published. UFine6926's 6,926 people in all are known,
# not how many are in each split.
OFFICIAL = {
    "cuhk-pedes": {"train": (11_003, 34_054, 68_126), "val": (1_000, 3_078, 6_158), "test": (1_000, 3_074, 6_156)},
    "icfg-pedes": {"train": (3_102, 34_674, 34_674), "test": (1_000, 19_848, 19_848)},
    "rstpreid": {"train": (3_701, 18_505, 37_010), "val": (200, 1_000, 2_000), "test": (200, 1_000, 2_000)},
    "ufine6926": {"train": (None, 18_577, 37_154), "test": (None, 7_629, 15_258), "all": (6_926, 26_206, 52_412)},
}


def count(records):
    """Split -> (identities, images, captions) of the records; "all" counts them together."""
    counts = {}
    for split in (*SPLITS, "all"):
        some = [record for record in records if split in (record.split, "all")]
        if some:
            people = len({record.person_id for record in some})
            counts[split] = (people, len(some), sum(len(record.captions) for record in some))
    return counts


def differences(name, records):
    """What differs from the published numbers, as a list of phrases naming what was expected and what was found."""
    found, phrases = count(records), []
    expected = OFFICIAL[name]
    for split in (*SPLITS, *(["all"] if "all" in expected else [])):
        for kind, should, is_ in zip(KINDS, expected.get(split, (0, 0, 0)), found.get(split, (0, 0, 0)), strict=True):
            if should is not None and should != is_:
                phrases.append(f"{split} has {is_:,} {kind}, expected {should:,}")
    return phrases


def check_counts(benchmark, allow_partial):
    """Compare a benchmark's annotation with the published numbers.

    Returns:
        The differences, empty where there are none.
    Raises:
        UserError: there are some, and ``allow_partial`` is not set.
    """
    phrases = differences(benchmark.name, benchmark.records)
    if phrases and not allow_partial:
        raise UserError(
            f"{benchmark.annotation} is not the whole {benchmark.title}: {'; '.join(phrases)}; get the authors' own "
            "file, or pass --allow-partial to go on with this one"
        )
    return phrases


def check_images(benchmark, present, allow_partial):
    """Refuse missing images unless ``allow_partial``; ``present``: the records whose image is a file.

    Returns:
        The paths that are missing.
    Raises:
        UserError: some are missing and ``allow_partial`` is not set, or all are.
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


def check_readable(benchmark, rejected, allow_partial):
    """Refuse unreadable images, (path, reason), unless ``allow_partial``.

    Raises:
        UserError: there are some and ``allow_partial`` is not set.
    """
    if rejected and not allow_partial:
        path, reason = rejected[0]
        raise UserError(
            f"{len(rejected)} annotated images in {benchmark.images} cannot be read, such as {path} ({reason}); "
            "replace them, or pass --allow-partial to go on without them"
        )
