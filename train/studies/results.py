"""What a study leaves: its numbers as JSON, and a page of Markdown beside them."""

from pathlib import Path
from typing import Any

from dataset_builders.synthetic_pedestrians.oracle import oracle_rank1, read_benchmark
from modeling_unipt.common.atomic_files import write_json, write_text


def write_results(path: Path | str, numbers: Any, page: str, indent: int = 2) -> None:
    """Write ``numbers`` as JSON to ``path`` and ``page`` beside it, with the suffix ``.md``; make the folder if needed.

    Args:
        indent: spaces of a level of the JSON file.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, numbers, indent)
    write_text(path.with_suffix(".md"), page)


def oracle_rank_1(benchmark: Path | str) -> float:
    """Rank-1 in percent that the true attributes alone reach on a rendered benchmark.

    It is below 100 because captions leave attributes out.

    Args:
        benchmark: folder of the benchmark as it was rendered.
    """
    folder = Path(benchmark)
    return oracle_rank1(*read_benchmark(folder / "truth.jsonl", folder / "reid_raw.json"))
