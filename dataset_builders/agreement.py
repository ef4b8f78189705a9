"""How far stored attributes agree with known ones, counted on the attributes, never on the captions' wording.

python -m dataset_builders.agreement --dataset runs/demo/luperson-t --truth runs/demo/unlabelled/truth.jsonl
python -m dataset_builders.agreement --dataset paper best --truth truth.jsonl    # two recipes, the same images
"""

import argparse
import json
from pathlib import Path, PurePosixPath

from modeling_unipt.common.user_errors import UserError, run_command

from .divide.reading import load_vocabulary


def agreement(said, truth, vocabulary):
    """Compare what was said of each image with what is true of it.

    Args:
        said: one dict an image, attribute -> ``Choice`` or None.
        truth: one dict an image, flat field -> value or None; same order.
    Returns:
        JSON-able dict: ``images``; ``required``: field -> accuracy (clothes as colour, pattern, garment apart) and
        their ``required_mean``; ``optional``: field -> {precision, recall, said, true}, and ``optional_precision``,
        ``optional_recall`` over all of them. Precision is the share of statements that are true to the value (a
        handbag called a backpack is wrong), recall the share of things present that are stated so; None where there
        are none.
    """
    said, truth = list(said), list(truth)
    required, optional = {}, {}
    for name, attribute in vocabulary.attributes.items():
        for field in attribute.fields:
            pairs = [
                (choices[name].value[field] if choices[name] is not None else None, known[field])
                for choices, known in zip(said, truth, strict=True)
            ]
            right = sum(value is not None and value == known for value, known in pairs)
            if attribute.required:
                required[field] = right / len(pairs)
            else:
                stated, present = (sum(pair[side] is not None for pair in pairs) for side in (0, 1))
                optional[field] = {"right": right, "said": stated, "true": present}
    total = {key: sum(row[key] for row in optional.values()) for key in ("right", "said", "true")}
    return {
        "images": len(said),
        "required": required,
        "required_mean": sum(required.values()) / len(required) if required else None,
        "optional": {
            field: {**_precision_recall(row), "said": row["said"], "true": row["true"]}
            for field, row in optional.items()
        },
        **{f"optional_{key}": value for key, value in _precision_recall(total).items()},
    }


def _precision_recall(counts):
    return {
        "precision": counts["right"] / counts["said"] if counts["said"] else None,
        "recall": counts["right"] / counts["true"] if counts["true"] else None,
    }


def agreement_of_probabilities(probabilities, vocabulary, truth):
    """:func:`agreement` of what :func:`dataset_builders.conquer.scorer.decide` says, given a scorer's probabilities."""
    from .conquer.scorer import decide

    return agreement(decide(probabilities, vocabulary), truth, vocabulary)


def agreement_of_dataset(folder, truth_path, vocabulary):
    """:func:`agreement` of a LUPerson-T folder with a ``truth.jsonl``; raises as :func:`read_dataset`."""
    said, truth, vocabulary, _ = read_dataset(folder, truth_path, vocabulary)
    return agreement(said, truth, vocabulary)


def read_dataset(folder, truth_path, vocabulary, probabilities=False):
    """What a LUPerson-T folder says, and the truth.

    Returns:
        (said and truth as :func:`agreement` takes them, the vocabulary less the attributes that were left out, the
        column ``attribute_probabilities`` as a list if asked for, else an empty list)
    Raises:
        UserError: a file is missing or not what it should be, or an image of the dataset is not in the truth.
    """
    import pyarrow.parquet as parquet

    shards = sorted(Path(folder).glob("data/*.parquet"))
    if not shards:
        raise UserError(f"{folder} holds no data/*.parquet; give a folder written by dataset_builders.luperson_t")
    truth = read_truth(truth_path)
    columns = ["image_id", "attributes", *(["attribute_probabilities"] if probabilities else [])]
    ids, stored, tables = [], [], []
    for shard in shards:
        try:
            table = parquet.read_table(shard, columns=columns)
        except (OSError, ValueError) as error:
            raise UserError(f"{shard} cannot be read ({type(error).__name__})") from None
        if table.column_names != columns:
            raise UserError(f"{shard} lacks the columns {' and '.join(columns)}; is it a LUPerson-T dataset?")
        ids += table["image_id"].to_pylist()
        stored += table["attributes"].to_pylist()
        tables += table["attribute_probabilities"].to_pylist() if probabilities else []
    if not ids:
        raise UserError(f"{folder} holds no images")
    vocabulary = vocabulary.without([name for name in vocabulary.attributes if name not in stored[0]])
    choice_of = {name: {**attribute.by_phrase, None: None} for name, attribute in vocabulary.attributes.items()}
    try:
        said = [{name: choice_of[name][row[name]] for name in choice_of} for row in stored]
    except KeyError as error:
        raise UserError(f"{folder} holds the phrase {error}, which this vocabulary lacks; name its own") from None
    matched = match_truth(ids, truth, truth_path)
    for name in (field for attribute in vocabulary.attributes.values() for field in attribute.fields):
        if name not in matched[0]:
            raise UserError(f"{truth_path} does not say '{name}', which the vocabulary knows")
    return said, matched, vocabulary, tables


def read_truth(path):
    """{file name: flat attributes} of a ``truth.jsonl``."""
    try:
        with open(path, encoding="utf-8") as lines:
            records = [json.loads(line) for line in lines if line.strip()]
        truth = {record["file_name"]: record["attributes"] for record in records}
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"truth file {path} cannot be read ({type(error).__name__})") from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"truth file {path} must hold lines like "
            f'{{"file_name": ..., "attributes": {{...}}}} ({type(error).__name__}: {error})'
        ) from None
    if not truth:
        raise UserError(f"truth file {path} is empty")
    return truth


def match_truth(image_ids, truth, truth_path="the truth"):
    """The attributes of each image id. Ids are paths below the image folder, so leading folders of the truth's names
    are dropped, the same number for all, until every id is found; an id may lack the file's suffix.

    Raises:
        UserError: some id is not found.
    """
    deepest = max(len(PurePosixPath(name).parts) for name in truth)
    best_missing = None
    for dropped in range(deepest):
        by_id = {}
        for name, attributes in truth.items():
            path = PurePosixPath(*PurePosixPath(name).parts[dropped:])
            by_id[str(path)] = by_id[str(path.with_suffix(""))] = attributes
        missing = [image_id for image_id in image_ids if image_id not in by_id]
        if not missing:
            return [by_id[image_id] for image_id in image_ids]
        if best_missing is None or len(missing) < len(best_missing):
            best_missing = missing
    raise UserError(
        f"{truth_path} does not know {len(best_missing)} of {len(image_ids)} images, such as '{best_missing[0]}'; "
        "give the truth.jsonl of these very images"
    )


def agreement_table(table):
    """:func:`agreement`'s result as Markdown."""
    percent = lambda value: "–" if value is None else f"{100 * value:.1f} %"  # noqa: E731
    lines = ["| required field | accuracy |", "|---|---|"]
    lines += [f"| {field} | {percent(accuracy)} |" for field, accuracy in table["required"].items()]
    lines += [f"| **mean** | **{percent(table['required_mean'])}** |", ""]
    lines += ["| optional attribute | precision | recall | stated | true |", "|---|---|---|---|---|"]
    for field, row in table["optional"].items():
        lines.append(
            f"| {field} | {percent(row['precision'])} | {percent(row['recall'])} | {row['said']} | {row['true']} |"
        )
    stated, true = (sum(row[key] for row in table["optional"].values()) for key in ("said", "true"))
    lines.append(
        f"| **all** | **{percent(table['optional_precision'])}** | **{percent(table['optional_recall'])}** "
        f"| {stated} | {true} |"
    )
    return "\n".join(lines)


def main(argv=None):
    parser = argparse.ArgumentParser(
        prog="python -m dataset_builders.agreement",
        description="Compare the attributes stored in a LUPerson-T dataset with a truth.jsonl and print the table.",
        epilog="example: python -m dataset_builders.agreement --dataset runs/demo/luperson-t --truth truth.jsonl",
    )
    parser.add_argument(
        "--dataset",
        required=True,
        nargs="+",
        help="folder written by python -m dataset_builders.luperson_t; several of the same images are compared",
    )
    parser.add_argument("--truth", required=True, help="truth.jsonl of the same images")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args(argv)
    if len(arguments.dataset) > 1:
        from .measure.comparison import compare, comparison_table

        compared = compare(arguments.dataset, arguments.truth, load_vocabulary())
        print(json.dumps(compared, indent=2) if arguments.json else comparison_table(compared))
        return
    table = agreement_of_dataset(arguments.dataset[0], arguments.truth, load_vocabulary())
    print(json.dumps(table, indent=2) if arguments.json else agreement_table(table))


if __name__ == "__main__":
    run_command(main)
