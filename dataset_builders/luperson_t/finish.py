"""The end of a LUPerson-T build, when every shard is there: near-duplicates, statistics, pictures, card."""

import itertools
import os
import shutil
from pathlib import Path

import numpy as np

from modeling_unipt.common.image_files import write_rejected
from modeling_unipt.common.output_folders import SETTINGS_FILE
from modeling_unipt.common.user_errors import UserError

from ..agreement import agreement_of_dataset
from ..checks.near_duplicates import find_duplicates, mark_shard
from ..output.parquet_dataset import arrow_schema
from ..report.card import statistics_of, write_luperson_t_card
from ..report.figures import draw_pictures
from .rows import columns_of


def finish(work, shards, records, source, vocabulary, captioner, revision, arguments):
    """Make the dataset of the finished shards, in ``work/result``; what is there of an interrupted end is made anew.

    Args:
        shards: relative paths of the Parquet files, below ``work/shards`` and then below the result.
        records: what :func:`dataset_builders.luperson_t.rows.write_shard` returned of each.
        revision: of the scorer on the Hub, or None; several where it changed while the build was interrupted.
    Returns:
        (the result's folder, its :class:`dataset_builders.report.card.Statistics`)
    Raises:
        UserError: no image could be used.
    """
    rejected = sorted(tuple(entry) for record in records for entry in record["rejected"])
    if len(rejected) == len(source):
        raise UserError(
            f"none of the {len(source)} images in {arguments.images} can be used; the first, "
            f"{source.name(rejected[0][0])}, is refused because: {rejected[0][1]}"
        )
    result = Path(work, "result")
    shutil.rmtree(result, ignore_errors=True)
    sizes, dropped = mark_duplicates(Path(work, "shards"), result, shards, records, source, vocabulary, arguments)
    rejected = sorted(rejected + dropped)
    write_rejected(result / "rejected.jsonl", [(source.name(position), reason) for position, reason in rejected])
    statistics = statistics_of([result / shard for shard in shards], vocabulary)
    statistics.rejected, statistics.bytes = len(rejected), sum(sizes)
    statistics.write(result / "statistics.json")
    table = agreement_of_dataset(result, arguments.truth, vocabulary) if arguments.truth else None
    pictures = draw_pictures(result, shards, vocabulary, captioner, statistics, arguments.seed, arguments.truth)
    columns = columns_of(vocabulary)
    write_luperson_t_card(result, arguments, columns, vocabulary, captioner, statistics, revision, table, pictures)
    shutil.copyfile(Path(work, SETTINGS_FILE), result / SETTINGS_FILE)
    return result, statistics


def mark_duplicates(before, after, shards, records, source, vocabulary, arguments):
    """The last pass, over the hashes alone: the shards below ``before`` appear below ``after`` with ``duplicate_of``
    filled, or without the duplicates.

    Returns:
        (sizes of the shards' rows in memory, (position, reason) of the images left out)
    """
    schema = arrow_schema(columns_of(vocabulary))
    used = list(itertools.chain.from_iterable(record["used"] for record in records))
    hashes = np.array(list(itertools.chain.from_iterable(record["hashes"] for record in records)), dtype=np.uint64)
    originals, begin, sizes, dropped = find_duplicates(hashes, arguments.duplicate_distance), 0, [], []
    for shard, record in zip(shards, records, strict=True):
        part = originals[begin : begin + len(record["used"])]
        begin += len(part)
        repeats = {
            position: source.ids[used[original]]
            for position, original in zip(record["used"], part, strict=True)
            if original >= 0
        }
        (after / shard).parent.mkdir(parents=True, exist_ok=True)
        if repeats:
            by_id = {source.ids[position]: original for position, original in repeats.items()}
            sizes.append(mark_shard(before / shard, after / shard, schema, by_id, arguments.drop_duplicates))
        else:
            _link(before / shard, after / shard)
            sizes.append(record["bytes"])
        if arguments.drop_duplicates:
            dropped += [(position, f"near-duplicate of {original}") for position, original in repeats.items()]
    return sizes, dropped


def _link(source, target):
    try:
        os.link(source, target)  # no second copy of the images while both folders are there
    except OSError:
        shutil.copyfile(source, target)
