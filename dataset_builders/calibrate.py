"""Calibrate a scorer for the recipe `best`, on labelled images that are not those to be described.

python -m dataset_builders.calibrate --images people/images --truth people/truth.jsonl --scorer unipt/clip-tiny

Without ``--output`` the file goes beside the scorer, where ``python -m dataset_builders.luperson_t`` finds it.
"""

import argparse
import dataclasses
from functools import partial
from pathlib import Path

import numpy as np

from modeling_unipt.common.user_errors import UserError, run_command
from modeling_unipt.sources.base import read_batches
from modeling_unipt.sources.open import open_source

from .agreement import match_truth, read_truth
from .conquer.calibration import CALIBRATION_FILE, CORNERS, MIRRORED, Calibration, hash_of, hash_of_scored
from .conquer.scorer_identity import scorer_identity
from .divide.reading import load_vocabulary
from .divide.vocabulary import WHOLE

FALSE_SHARE = 0.5  # of that of the paper's recipe is what the threshold allows
VIEWS = ([WHOLE, MIRRORED], [WHOLE, *CORNERS])  # the set that makes the truth most likely is taken for all attributes


def embed_views(source, views, batch_size, workers):
    """(positions of the images that can be read, view -> (N, D) embeddings)."""
    import torch
    from tqdm import tqdm

    used, embeds = [], []
    batches = read_batches(source, range(len(source)), batch_size, workers, views.pixels)
    with tqdm(total=len(source), desc="calibration", unit="image") as bar:
        for batch in batches:
            usable = [(position, image.pixels) for position, image in batch if not isinstance(image, str)]
            bar.update(len(batch))
            if usable:
                used += [position for position, _ in usable]
                made = views.embed(np.stack([pixels for _, pixels in usable]))
                embeds.append({view: values.cpu() for view, values in made.items()})
    if not used:
        raise UserError("none of the images can be read, so there is nothing to calibrate on")
    return used, {view: torch.cat([part[view] for part in embeds]) for view in embeds[0]}


def calibrate(views, embeds, truth):
    """Fit everything.

    Args:
        views: :class:`dataset_builders.conquer.best_recipe.ViewScorer` with all corners and regions.
        embeds: view -> (N, D), what it says of N images.
        truth: list of N dicts, flat field -> value or None.
    Returns:
        (attribute -> AttributeCalibration, statements of the paper's recipe, statements of `best`), the latter two as
        :func:`dataset_builders.measure.reliability.statements` counts them.
    """
    from .conquer.best_recipe import decide_best
    from .conquer.fit import choose_threshold, fit_attribute
    from .conquer.scorer import decide
    from .measure.reliability import most_probable, statements

    scorer, vocabulary = views.scorer, views.scorer.vocabulary
    paper = statements(
        decide(scorer.probabilities_of(embeds["whole"].to(scorer.device)), vocabulary), truth, vocabulary
    )
    choices = []
    for views_of_all in VIEWS:
        made = {
            name: fit_attribute(attribute, views_of_all, partial(_logits_of, views, embeds, name), truth)
            for name, attribute in vocabulary.attributes.items()
        }
        choices.append((sum(loss for _, loss in made.values()), {name: fitted for name, (fitted, _) in made.items()}))
    _, fitted = min(choices, key=lambda choice: choice[0])
    slots, confidences, right = {}, [], []
    for name, attribute in vocabulary.attributes.items():
        slots |= calibrated_slots_of(views, embeds, name, fitted[name])
        for field, values in attribute.slots.items():
            known = [of_image[field] for of_image in truth]
            top, stated, true = most_probable(slots[field], values, known)
            possible = np.array([value is not None for value in stated])
            confidences.append(top[possible])
            right.append(true[possible])
    threshold = choose_threshold(
        np.concatenate(confidences),
        np.concatenate(right),
        most_false=FALSE_SHARE * (paper["false_share"] or 0.0),
        least_true=paper["true_per_image"] * len(truth),
    )
    fitted = {name: with_threshold(calibration, threshold) for name, calibration in fitted.items()}
    return fitted, paper, statements(decide_best(slots, vocabulary, fitted), truth, vocabulary)


def _logits_of(views, embeds, name, view, prompts):
    return views.logits(embeds, name, view, prompts).cpu()


def calibrated_slots_of(views, embeds, name, fitted):
    """field -> (N, number of values) of the attribute ``name``, from embeddings of the views."""
    from .conquer.best_recipe import calibrated_slots

    logits = sum(weight * views.logits(embeds, name, view, fitted.prompts) for view, weight in fitted.views.items())
    return calibrated_slots(views.scorer.vocabulary.attributes[name], logits.softmax(dim=1).cpu().numpy(), fitted)


def with_threshold(fitted, threshold):
    """An AttributeCalibration like ``fitted`` with this threshold in every slot."""
    slots = {field: dataclasses.replace(slot, threshold=threshold) for field, slot in fitted.slots.items()}
    return dataclasses.replace(fitted, slots=slots)


def check_truth(truth, vocabulary, path):
    """Raise unless every image's truth has a value of the vocabulary, or None of an optional one, in each field."""
    for attribute in vocabulary.attributes.values():
        for field, values in attribute.slots.items():
            for known in truth:
                if field not in known or known[field] not in values:
                    what = f"gives {field} the value {known[field]!r}" if field in known else f"does not say '{field}'"
                    raise UserError(f"{path} {what}, which the vocabulary '{vocabulary.name}' does not understand")


def main(argv=None):
    parser = argparse.ArgumentParser(
        prog="python -m dataset_builders.calibrate",
        description="Fit, on labelled images, what turns a scorer's probabilities into ones that can be trusted: "
        "temperatures, priors, the weight of each view of a picture, and the thresholds under which nothing is said. "
        "The labels must be of other images than those that will be described.",
        epilog="example: python -m dataset_builders.calibrate --images people/images --truth people/truth.jsonl "
        "--scorer unipt/clip-tiny",
    )
    parser.add_argument(
        "--images", required=True, metavar="SRC", help="labelled images, as dataset_builders.luperson_t"
    )
    parser.add_argument("--truth", required=True, metavar="FILE", help="truth.jsonl of these images")
    parser.add_argument("--scorer", required=True, help="CLIP- or SigLIP-style model, a folder or a name on the Hub")
    parser.add_argument("--attributes", metavar="FILE", help="vocabulary of another domain, a YAML file")
    parser.add_argument("--output", metavar="FILE", help=f"default: {CALIBRATION_FILE} in the scorer's folder")
    parser.add_argument("--batch-size", type=int, default=64, help="images scored at once (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="threads that read images (default: %(default)s)")
    arguments = parser.parse_args(argv)
    if not arguments.output and not Path(arguments.scorer).is_dir():
        raise UserError(f"scorer '{arguments.scorer}' is no folder to write beside; name a file with --output")
    output = Path(arguments.output or Path(arguments.scorer, CALIBRATION_FILE))
    vocabulary, identity = load_vocabulary(arguments.attributes), scorer_identity(arguments.scorer)
    source = open_source(arguments.images)
    truth = match_truth(source.ids, read_truth(arguments.truth), arguments.truth)
    check_truth(truth, vocabulary, arguments.truth)

    from .conquer.best_recipe import BestRecipe, ViewScorer
    from .conquer.scorer import Scorer

    scorer = Scorer(arguments.scorer, vocabulary)
    regions = [attribute.region for attribute in vocabulary.attributes.values()]
    views = ViewScorer(scorer, [WHOLE, MIRRORED, *CORNERS, *regions])
    used, embeds = embed_views(source, views, arguments.batch_size, arguments.workers)
    fitted, paper, best = calibrate(views, embeds, [truth[position] for position in used])
    calibration = Calibration(fitted, hash_of(identity), hash_of_scored(vocabulary), len(used))
    calibration.write(output)
    passes = BestRecipe(scorer, calibration).passes
    print(f"wrote {output}: fitted on {len(used)} images; {passes} views of each picture")
    for recipe, counted in (("paper", paper), ("best", best)):
        false = 100 * (counted["false_share"] or 0.0)
        print(f"{recipe}: {false:.2f} % of the statements are false, {counted['true_per_image']:.3f} true an image")


if __name__ == "__main__":
    run_command(main)
