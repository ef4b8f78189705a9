"""Write the splits of a dataset whose source says which image belongs to which split, and what its row holds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from modeling_unipt.common.user_errors import UserError
from modeling_unipt.sources.base import Source, read_batches
from modeling_unipt.sources.reading import SourceImage

from .parquet_dataset import SHARD_ROWS, Columns, Row, ShardWriter, SplitSize, arrow_schema, shard_paths

BATCH = 64


@dataclass(frozen=True)
class WrittenSplits:
    """What was written.

    Attributes:
        sizes: split -> its size.
        rejected: pairs of an image's name and the reason why it was left out, in the order of reading.
    """

    sizes: dict[str, SplitSize]
    rejected: list[tuple[str, str]]


def write_splits(
    folder: Path,
    columns: Columns,
    source: Source,
    splits: Mapping[str, Sequence[int]],
    row_of: Callable[[int, SourceImage], Row | str],
    workers: int,
    title: str,
) -> WrittenSplits:
    """Read the images of a source and write them below ``folder/data``, a set of shards for each split.

    Args:
        splits: split -> positions of its images in the source.
        row_of: gives the row of the image at a position, or the reason why that image is left out.
        workers: number of threads that read and decode images.
        title: what the progress bar says.

    Raises:
        UserError: a split is left without an image.
    """
    schema = arrow_schema(columns)
    sizes: dict[str, SplitSize] = {}
    rejected = []
    with tqdm(total=len(source), desc=title, unit="image") as bar:
        for split, positions in splits.items():
            size = SplitSize(num_bytes=0, num_examples=0)
            rejected_before = len(rejected)
            for shard, relative in enumerate(shard_paths(split, len(positions))):
                in_shard = positions[shard * SHARD_ROWS : (shard + 1) * SHARD_ROWS]
                with ShardWriter(folder / relative, schema) as writer:
                    for batch in read_batches(source, in_shard, BATCH, workers):
                        for position, image in batch:
                            row = image if isinstance(image, str) else row_of(position, image)
                            if isinstance(row, str):
                                rejected.append((source.name(position), row))
                            else:
                                writer.write(row)
                        bar.update(len(batch))
                size["num_bytes"] += writer.bytes
                size["num_examples"] += writer.rows
            if not size["num_examples"]:
                name, reason = rejected[rejected_before]
                raise UserError(
                    f"no image of the split '{split}' can be used; the first, {name}, is refused because: {reason}"
                )
            sizes[split] = size
    return WrittenSplits(sizes, rejected)
