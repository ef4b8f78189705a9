"""Write a vocabulary of people whose recipe has fewer sentence templates, to learn what their number is worth.

    python train/studies/fewer_templates.py --recipe best --templates 114 --seed 0 --output runs/templates-114
    python train/pretrain.py ... --fresh-captions true --attributes runs/templates-114/vocabulary.yaml
    python -m dataset_builders.luperson_t ... --recipe best --attributes runs/templates-114/vocabulary.yaml

The templates are a random subset. With the same seed, a smaller set is always part of a larger one. Some templates
belong to every set, so that every image can be captioned and every attribute can be stated: one that fits whatever is
known, and one for each attribute that the templates before it do not mention. The phrases and the templates of the
other recipe stay as they are.
"""

import argparse
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import yaml

from dataset_builders.combine.parser import Template
from dataset_builders.combine.templates import TemplateSet, load_templates
from dataset_builders.divide.reading import DEFAULT_VOCABULARY, load_vocabulary
from modeling_unipt.common.command_line import CommandParser
from modeling_unipt.common.output_folders import finish_output, start_output
from modeling_unipt.common.user_errors import UserError, run_command

# What a template file says besides its templates and their number.
OTHER_KEYS = ("omit_at_most", "tell_at_least", "all_synonyms", "words")


def order_of(templates: Sequence[Template], attributes: Iterable[str], seed: int) -> tuple[list[int], int]:
    """In which order to take templates.

    Args:
        attributes: names of the attributes that must have a place.

    Returns:
        The indices of all templates, and how many of the first ones belong to every set.
    """
    shuffled = [int(index) for index in np.random.default_rng(seed).permutation(len(templates))]
    always_fit = [index for index in shuffled if not templates[index].required | templates[index].firm]
    # Of the templates that always fit, the one with most places leaves the fewest attributes without any.
    first = [max(always_fit, key=lambda index: len(templates[index].places))]
    for name in attributes:
        mention = [index for index in shuffled if name in templates[index].required | templates[index].places]
        if mention and not set(mention) & set(first):
            first.append(mention[0])
    rest = [index for index in shuffled if index not in first]
    return first + rest, len(first)


def write_templates(path: Path, source: Path, template_set: TemplateSet, kept: Sequence[int]) -> None:
    """Write those templates of the file ``source`` that have the indices ``kept`` to ``path``, each spelled out."""
    content = yaml.safe_load(source.read_text(encoding="utf-8"))
    texts = [template_set.templates[index].text for index in sorted(kept)]
    others = {key: content[key] for key in OTHER_KEYS if key in content}
    fewer = {"count": len(texts)} | others | {"templates": texts}
    comment = f"# {len(texts)} of the {len(template_set.templates)} templates of {source.name}.\n"
    # The width keeps every template on one line.
    path.write_text(comment + yaml.safe_dump(fewer, sort_keys=False, width=10_000), encoding="utf-8")


def write_vocabulary(output: Path | str, recipe: str, templates: int, seed: int) -> int | None:
    """Make the folder ``output`` with a vocabulary that has ``templates`` templates of ``recipe``.

    Returns:
        How many templates the recipe has, or None if ``output`` was complete.

    Raises:
        UserError: the recipe has fewer templates, or ``output`` exists and was made with other settings.
    """
    vocabulary = load_vocabulary()
    template_set = load_templates(vocabulary, vocabulary.templates_for(recipe))
    order, least = order_of(template_set.templates, vocabulary.attributes, seed)
    if not least <= templates <= len(order):
        raise UserError(
            f"--templates {templates} must be from {least}, with which every image can be captioned and every "
            f"attribute stated, to {len(order)}, the number of the recipe '{recipe}'"
        )
    settings = {
        "command": "fewer_templates",
        "recipe": recipe,
        "templates": templates,
        "seed": seed,
        "vocabulary_sha256": vocabulary.sha256,
        "templates_sha256": template_set.sha256,
    }
    work = start_output(output, settings)
    if work is None:
        return None
    shutil.copyfile(DEFAULT_VOCABULARY, work / DEFAULT_VOCABULARY.name)
    for each, source in vocabulary.templates.items():
        if each == recipe:
            write_templates(work / source.name, source, template_set, order[:templates])
        else:
            shutil.copyfile(source, work / source.name)
    # Loading it is the check that every vocabulary must pass.
    made = load_vocabulary(work / DEFAULT_VOCABULARY.name)
    load_templates(made, made.templates_for(recipe))
    finish_output(work, output)
    return len(order)


def main(argv: Sequence[str] | None = None) -> None:
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--recipe", choices=("paper", "best"), default="paper", help="whose templates to take (default: %(default)s)")
    add("--templates", type=int, required=True, metavar="N", help="how many templates to keep")
    add("--seed", type=int, default=0, help="seed of the random subset (default: %(default)s)")
    add("--output", required=True, help="folder to make; a complete one made with the same settings is left alone")
    options = parser.parse_args(argv)
    if options.seed < 0:
        raise UserError(f"--seed {options.seed} must not be negative")
    total = write_vocabulary(options.output, options.recipe, options.templates, options.seed)
    if total is not None:
        print(f"{options.output}: {options.templates} of the {total} templates of the recipe '{options.recipe}'")


if __name__ == "__main__":
    run_command(main)
