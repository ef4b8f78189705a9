"""The dataset card of a benchmark's copy."""

from pathlib import Path

from modeling_unipt.common.words import markdown_table

from ..output.parquet_dataset import Columns, write_card
from .copies import Copy
from .layouts import Counts

COLUMN_TEXTS = {
    "image": "the image",
    "image_id": "`file_path` without its suffix",
    "person_id": "the benchmark's number of the person",
    "captions": "descriptions of this very image",
    "file_path": "path in the benchmark's image folder",
}


def write_benchmark_card(folder: Path, copy: Copy, columns: Columns, license_name: str) -> None:
    """Write the dataset card of a copy.

    Args:
        license_name: the licence, by its name on the Hub.
    """
    layout = copy.benchmark.layout
    title = layout.title
    texts = COLUMN_TEXTS | {column: kept.about for column, kept in layout.kept.items()}
    body = f"""\
# {title}

Images of people with captions, read from the benchmark's official layout by
`python -m dataset_builders.benchmarks`. The captions and splits are those of the annotation file (sha256
`{copy.benchmark.annotation_sha256[:12]}`). Each row holds one image; every caption of a test image is a query.
{_warnings(copy)}
{_table_of_splits(copy)}

{markdown_table(("column", "content"), [(f"`{column}`", text) for column, text in texts.items()])}
{_remarks(copy)}
## Licence, use, privacy

The benchmark's own terms bind whoever uses this copy. It is for measuring retrieval in research. It shows people who
did not choose to be in it, so do not publish the images further than those terms allow, and do not use it to identify
anybody.
"""
    is_official = not copy.differing or (copy.verdicts.get("test") and copy.verdicts["test"].is_official)
    about = {
        "pretty_name": title if is_official else f"Data in {title}'s layout",
        "license": license_name,
        "language": ["en"],
        "task_categories": ["text-to-image", "image-to-text"],
        "tags": ["person-retrieval", "text-to-image-person-re-identification"],
    }
    write_card(folder, columns, copy.sizes, about, body)


def _table_of_splits(copy: Copy) -> str:
    """What each split holds beside what was published, and the verdict on it."""
    head = ["split"]
    for kind in Counts._fields:
        head += [kind, "official"]
    rows = []
    for split, verdict in copy.verdicts.items():
        row = [split]
        official = copy.benchmark.layout.official.get(split, Counts(None, None, None))
        for number, published in zip(copy.counts[split], official, strict=True):
            row += [f"{number:,}", "unknown" if published is None else f"{published:,}"]
        rows.append([*row, verdict])
    return markdown_table([*head, "verdict"], rows)


def _warnings(copy: Copy) -> str:
    title = copy.benchmark.layout.title
    official = [split for split, verdict in copy.verdicts.items() if verdict.is_official]
    warnings = ""
    if copy.rejected:
        warnings += (
            f"\n**Incomplete**: {len(copy.rejected)} annotated images are missing, unreadable or without a caption "
            "(`rejected.jsonl`). "
            "Scores on their splits are not comparable with published ones.\n"
        )
    if copy.differing:
        warnings += (
            f"\n**Not the official {title}** but data in its layout: {'; '.join(copy.differing)}. Scores on it are not "
            "comparable with published ones.\n"
        )
    if warnings and official:
        warnings += (
            f"\nThe split {' and '.join(official)} is official and complete: scores on it are comparable with "
            "published ones.\n"
        )
    return warnings


def _remarks(copy: Copy) -> str:
    text = ""
    if copy.remarks:
        lines = [f"* {remark[0].upper()}{remark[1:]}." for remark in copy.remarks]
        text = "\n".join(["\n## What the reader mended\n", *lines, ""])
    odd = copy.oddities.card_section()
    return f"{text}\n{odd}" if odd else text
