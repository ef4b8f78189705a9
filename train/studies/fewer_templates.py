"""Write a vocabulary of people whose recipe has fewer sentence templates, to learn what their number is worth.

    python train/studies/fewer_templates.py --recipe best --templates 114 --seed 0 --output runs/templates-114
    python train/pretrain.py ... --fresh_captions true --attributes runs/templates-114/vocabulary.yaml
    python -m dataset_builders.luperson_t ... --recipe best --attributes runs/templates-114/vocabulary.yaml

The templates are a random subset: of one seed, the smaller set is always part of the larger. Some come first, so that
every image can be captioned and every attribute told: one that fits whatever is known, and one for each attribute that
the ones before have no place for. The phrases and the other recipe's templates stay as they are.
"""

import argparse
import shutil

import numpy as np

from modeling_unipt.common.output_folders import finish_output, start_output
from modeling_unipt.common.user_errors import UserError, run_command


def order_of(templates, attributes, seed):
    """In which order to take templates, and how many of the first no set can do without.

    Args:
        templates: list of :class:`dataset_builders.combine.parser.Template`.
        attributes: names of all that must have a place.

    Returns:
        (list of all indices, number of those that come first)
    """
    shuffled = [int(index) for index in np.random.default_rng(seed).permutation(len(templates))]
    always_fit = [index for index in shuffled if not templates[index].required | templates[index].firm]
    first = [max(always_fit, key=lambda index: len(templates[index].places))]
    for name in attributes:
        telling = [index for index in shuffled if name in templates[index].required | templates[index].places]
        if telling and not set(telling) & set(first):
            first.append(telling[0])
    return first + [index for index in shuffled if index not in first], len(first)


def write_templates(path, source, template_set, kept):
    """Write the template file ``source`` to ``path`` with the templates of the indices ``kept`` alone, spelled out."""
    import yaml

    content = yaml.safe_load(source.read_text(encoding="utf-8"))
    texts = [template_set.templates[index].text for index in sorted(kept)]
    keys = ("omit_at_most", "tell_at_least", "all_synonyms", "words")
    fewer = {"count": len(texts)} | {key: content[key] for key in keys if key in content} | {"templates": texts}
    comment = f"# {len(texts)} of the {len(template_set.templates)} templates of {source.name}.\n"
    path.write_text(comment + yaml.safe_dump(fewer, sort_keys=False, width=10_000), encoding="utf-8")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--recipe", choices=("paper", "best"), default="paper", help="whose templates (default: %(default)s)")
    add("--templates", type=int, required=True, metavar="N", help="how many to keep")
    add("--seed", type=int, default=0, help="of the subset (default: %(default)s)")
    add("--output", required=True, help="folder to make; a complete one made with the same settings is left alone")
    options = parser.parse_args(argv)
    if options.seed < 0:
        raise UserError(f"--seed {options.seed} must not be negative")

    from dataset_builders.combine.templates import load_templates
    from dataset_builders.divide.reading import DEFAULT_VOCABULARY, load_vocabulary

    vocabulary = load_vocabulary()
    template_set = load_templates(vocabulary, vocabulary.templates_for(options.recipe))
    order, least = order_of(template_set.templates, vocabulary.attributes, options.seed)
    if not least <= options.templates <= len(order):
        raise UserError(
            f"--templates {options.templates} must be from {least}, with which every image can be captioned and every "
            f"attribute told, to {len(order)}, the number of the recipe '{options.recipe}'"
        )
    settings = {
        "command": "fewer_templates",
        "recipe": options.recipe,
        "templates": options.templates,
        "seed": options.seed,
        "vocabulary_sha256": vocabulary.sha256,
        "templates_sha256": template_set.sha256,
    }
    work = start_output(options.output, settings)
    if work is None:
        return
    shutil.copyfile(DEFAULT_VOCABULARY, work / DEFAULT_VOCABULARY.name)
    for recipe, source in vocabulary.templates.items():
        if recipe == options.recipe:
            write_templates(work / source.name, source, template_set, order[: options.templates])
        else:
            shutil.copyfile(source, work / source.name)
    made = load_vocabulary(work / DEFAULT_VOCABULARY.name)  # the check that every vocabulary must pass
    load_templates(made, made.templates_for(options.recipe))
    finish_output(work, options.output)
    print(f"{options.output}: {options.templates} of the {len(order)} templates of the recipe '{options.recipe}'")


if __name__ == "__main__":
    run_command(main)
