"""How well true attributes alone answer the captions of a synthetic benchmark: the most that any model could reach.

    python -m dataset_builders.synthetic_pedestrians.oracle --truth DIR/truth.jsonl --benchmark DIR/reid_raw.json

A caption leaves facts out, so even somebody who knows everything about the images cannot always tell whom it means.
Every caption of the test split ranks all test images by how many of its stated fields the image's true attributes agree
with. Ties go to the lower gallery index. A hit is an image of the caption's person.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from modeling_unipt.common.command_line import CommandParser
from modeling_unipt.common.user_errors import UserError, run_command

from .people import Attributes, flat_attributes, sample_person, sample_view
from .phrases import Facts
from .write_world import captions_of

# (person_id, true attributes) of each image, in gallery order.
Gallery: TypeAlias = Sequence[tuple[int, Attributes]]
# (person_id, stated facts) of each caption.
Queries: TypeAlias = Sequence[tuple[int, Facts]]


def oracle_rank1(gallery: Gallery, queries: Queries) -> float:
    """Rank-1 (0..100) of the attribute oracle."""
    # A number for each value, so that a field of all images is compared at once.
    codes: dict[str | None, int] = {}

    def code(value: str | None) -> int:
        return codes.setdefault(value, len(codes))

    fields = list(gallery[0][1])
    truth = np.array([[code(attributes[field]) for field in fields] for _, attributes in gallery])
    hits = 0
    for person, stated in queries:
        agree = np.zeros(len(gallery), int)
        for field, value in stated.items():
            agree += truth[:, fields.index(field)] == code(value)
        # argmax gives the first of equals.
        hits += gallery[int(agree.argmax())][0] == person
    return 100 * hits / len(queries)


def sample_benchmark(seed: int, identities: int, views: int, first: int = 0) -> tuple[Gallery, Queries]:
    """(gallery, queries) of the people from number ``first`` on of a world, without rendering them."""
    gallery = []
    queries = []
    for number in range(first, first + identities):
        person = sample_person(seed, number)
        for view_number in range(views):
            view = sample_view(seed, number, view_number, person)
            gallery.append((number, flat_attributes(person, view)))
            _, stated = captions_of(seed, number, view_number, person, view)
            queries += [(number, facts) for facts in stated]
    return gallery, queries


def read_benchmark(truth: Path | str, benchmark: Path | str) -> tuple[Gallery, Queries]:
    """(gallery, queries) of the test split of a written benchmark, in the order of ``reid_raw.json``.

    Raises:
        UserError: a file is missing or not of this kind, or the test split is empty.
    """
    try:
        lines = Path(truth).read_text(encoding="utf-8").splitlines()
        rows = {row["file_name"]: row for row in map(json.loads, lines)}
        records = json.loads(Path(benchmark).read_text(encoding="utf-8"))
        test = [rows[f"imgs/{record['file_path']}"] for record in records if record["split"] == "test"]
        gallery = [(row["person_id"], row["attributes"]) for row in test]
        queries = [(row["person_id"], facts) for row in test for facts in row["caption_attributes"]]
    except OSError as error:
        raise UserError(f"cannot read {error.filename}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{truth} and {benchmark} are not the truth and the benchmark of one --layout cuhk-pedes world ({error!r})"
        ) from None
    if not queries:
        raise UserError(f"{benchmark} has no test images")
    return gallery, queries


def main(arguments: Sequence[str] | None = None) -> None:
    parser = CommandParser(
        prog="python -m dataset_builders.synthetic_pedestrians.oracle",
        description="Rank-1 that true attributes alone reach on a synthetic benchmark's test split.",
        epilog="example: python -m dataset_builders.synthetic_pedestrians.oracle --truth bench/truth.jsonl "
        "--benchmark bench/reid_raw.json",
    )
    parser.add_argument("--truth", required=True, help="the file truth.jsonl of the benchmark")
    parser.add_argument("--benchmark", required=True, help="the file reid_raw.json beside it")
    options = parser.parse_args(arguments)
    gallery, queries = read_benchmark(options.truth, options.benchmark)
    people = len({person for person, _ in gallery})
    rank1 = oracle_rank1(gallery, queries)
    print(f"queries {len(queries)}, gallery {len(gallery)}, identities {people}: oracle Rank-1 {rank1:.2f} %")


if __name__ == "__main__":
    run_command(main)
