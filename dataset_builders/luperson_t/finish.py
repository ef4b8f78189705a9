"""The end of a LUPerson-T build, when every shard is there: near-duplicates, statistics, figures, card."""

import itertools
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modeling_unipt.common.image_files import write_rejected
from modeling_unipt.common.output_folders import SETTINGS_FILE
from modeling_unipt.common.user_errors import UserError

from ..checks.near_duplicates import find_duplicates, mark_shard
from ..measure.agreement import agreement_of_dataset
from ..output.parquet_dataset import arrow_schema
from ..output.shards import Record
from ..report.card import HowBuilt, write_luperson_t_card
from ..report.figures import draw_figures
from ..report.statistics import Statistics, statistics_of
from .columns import columns_of
from .options import command_of
from .plan import Plan


def finish(work: Path, records: Sequence[Record], plan: Plan) -> tuple[Path, Statistics]:
    """Make the dataset of the finished shards, in ``work/result``.

    What an interrupted end left there is made anew.

    Args:
        records: what :func:`dataset_builders.luperson_t.rows.write_shard` returned of each shard, and the scorer's
            ``revision`` on the Hub or None.

    Returns:
        The result's folder, and its statistics.

    Raises:
        UserError: no image could be used.
    """
    options = plan.options
    rejected = sorted(tuple(entry) for record in records for entry in record["rejected"])
    if len(rejected) == len(plan.source):
        position, reason = rejected[0]
        raise UserError(
            f"none of the {len(plan.source)} images in {options.images} can be used; the first, "
            f"{plan.source.name(position)}, is refused because: {reason}"
        )
    result = work / "result"
    shutil.rmtree(result, ignore_errors=True)
    marked = mark_duplicates(work / "shards", result, records, plan)
    rejected = sorted(rejected + marked.dropped)
    write_rejected(result / "rejected.jsonl", [(plan.source.name(position), reason) for position, reason in rejected])
    shards = [result / shard for shard in plan.shards]
    statistics = statistics_of(shards, plan.vocabulary)
    statistics.rejected = len(rejected)
    statistics.bytes = marked.bytes
    statistics.write(result / "statistics.json")
    agreement = agreement_of_dataset(result, options.truth, plan.vocabulary) if options.truth else None
    figures = draw_figures(result, plan.shards, plan.vocabulary, statistics, options.seed, options.truth)
    write_luperson_t_card(
        result,
        columns_of(plan.vocabulary),
        plan.vocabulary,
        plan.captioner.template_set,
        statistics,
        how_built(plan, records),
        agreement,
        figures,
    )
    # Last: a folder with this file counts as complete once it is renamed.
    shutil.copyfile(work / SETTINGS_FILE, result / SETTINGS_FILE)
    return result, statistics


def how_built(plan: Plan, records: Sequence[Record]) -> HowBuilt:
    """What the card tells about how the dataset was built."""
    options = plan.options
    calibration = plan.calibration_file.name if plan.calibration_file else None
    # Several revisions: the scorer's repository changed while the build was interrupted.
    revisions = sorted({record["revision"] for record in records} - {None})
    return HowBuilt(
        command=command_of(options, calibration),
        recipe=options.recipe,
        calibration=calibration,
        scorer=options.scorer,
        revision=" and ".join(revisions) or None,
        dtype=options.dtype,
        without=options.without,
        captioner=options.captioner,
        seed=options.seed,
        limits=options.limits(),
        excluded=options.excluded_names(),
        duplicate_distance=options.duplicate_distance,
        drop_duplicates=options.drop_duplicates,
        license=options.license,
    )


@dataclass(frozen=True)
class Marked:
    """What became of the shards: the size of their rows in memory, and (position, reason) of the images left out."""

    bytes: int
    dropped: list[tuple[int, str]]


def mark_duplicates(before: Path, after: Path, records: Sequence[Record], plan: Plan) -> Marked:
    """Find near-duplicates among all images by their hashes, and write the shards below ``before`` anew.

    The shards appear below ``after``, with ``duplicate_of`` filled or, if the options say so, without the duplicates.
    A shard that holds no duplicate stays the same file.
    """
    schema = arrow_schema(columns_of(plan.vocabulary))
    drop = plan.options.drop_duplicates
    ids = plan.source.ids
    used = list(itertools.chain.from_iterable(record["used"] for record in records))
    hashes = list(itertools.chain.from_iterable(record["hashes"] for record in records))
    originals = find_duplicates(np.array(hashes, dtype=np.uint64), plan.options.duplicate_distance)
    size = 0
    begin = 0
    dropped = []
    for shard, record in zip(plan.shards, records, strict=True):
        in_shard = originals[begin : begin + len(record["used"])]
        begin += len(in_shard)
        # Image_id of a duplicate -> image_id of the one that it repeats.
        repeats = {}
        for position, original in zip(record["used"], in_shard, strict=True):
            if original >= 0:
                repeats[ids[position]] = ids[used[original]]
                if drop:
                    dropped.append((position, f"near-duplicate of {ids[used[original]]}"))
        (after / shard).parent.mkdir(parents=True, exist_ok=True)
        if repeats:
            size += mark_shard(before / shard, after / shard, schema, repeats, drop)
        else:
            _link(before / shard, after / shard)
            size += record["bytes"]
    return Marked(size, dropped)


def _link(source: Path, target: Path) -> None:
    """Give a file a second name. No second copy of the images takes room while both folders are there."""
    try:
        os.link(source, target)
    except OSError:
        # Some file systems know no hard links.
        shutil.copyfile(source, target)
