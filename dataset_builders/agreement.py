"""Compare the attributes that datasets store with known ones.

python -m dataset_builders.agreement --dataset runs/demo/luperson-t --truth runs/demo/unlabelled/truth.jsonl
python -m dataset_builders.agreement --dataset paper best --truth truth.jsonl    # two recipes, the same images
"""

import json
from collections.abc import Sequence

from modeling_unipt.common.command_line import CommandParser
from modeling_unipt.common.user_errors import run_command

from .divide.reading import load_vocabulary
from .measure.agreement import agreement_of_dataset, agreement_table
from .measure.comparison import compare, comparison_table


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command with the words ``argv``, by default those of the command line.

    Raises:
        UserError: a dataset or the truth cannot be read, or they do not belong together.
    """
    parser = CommandParser(
        prog="python -m dataset_builders.agreement",
        description="Compare the attributes stored in a LUPerson-T dataset with a truth.jsonl and print the table. "
        "Several datasets of the same images are compared with each other.",
        epilog="example: python -m dataset_builders.agreement --dataset runs/demo/luperson-t --truth truth.jsonl",
    )
    parser.add_argument(
        "--dataset",
        required=True,
        nargs="+",
        metavar="FOLDER",
        help="folder written by python -m dataset_builders.luperson_t, or several of them",
    )
    parser.add_argument("--truth", required=True, metavar="FILE", help="truth.jsonl of the same images")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args(argv)
    vocabulary = load_vocabulary()
    if len(arguments.dataset) > 1:
        counted = compare(arguments.dataset, arguments.truth, vocabulary)
        table = comparison_table
    else:
        counted = agreement_of_dataset(arguments.dataset[0], arguments.truth, vocabulary)
        table = agreement_table
    print(json.dumps(counted, indent=2) if arguments.json else table(counted))


if __name__ == "__main__":
    run_command(main)
