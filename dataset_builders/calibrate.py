"""Calibrate a scorer for the recipe `best`, on labelled images that are not those to be described.

python -m dataset_builders.calibrate --images people/images --truth people/truth.jsonl --scorer unipt/clip-tiny

Without ``--output`` the file goes beside the scorer, where ``python -m dataset_builders.luperson_t`` finds it.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from modeling_unipt.common.command_line import CommandParser
from modeling_unipt.common.user_errors import UserError, run_command
from modeling_unipt.sources.open import open_source

from .conquer.calibration import CALIBRATION_FILE, CORNERS, MIRRORED, Calibration, hash_of, hash_of_scored
from .divide.reading import load_vocabulary
from .divide.vocabulary import WHOLE
from .measure.truth import check_truth, match_truth, read_truth


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command with the words ``argv``, by default those of the command line.

    Raises:
        UserError: an input cannot be read, or the truth does not belong to the images.
    """
    arguments = _parse(argv)
    if not arguments.output and not Path(arguments.scorer).is_dir():
        raise UserError(f"scorer '{arguments.scorer}' is no folder to write beside; name a file with --output")
    output = Path(arguments.output or Path(arguments.scorer, CALIBRATION_FILE))

    # These load torch, which takes seconds; --help shall not wait for it.
    from .conquer.best_recipe import BestRecipe, ViewScorer
    from .conquer.fit import embed_views, fit_calibration
    from .conquer.scorer import Scorer, scorer_identity

    vocabulary = load_vocabulary(arguments.attributes)
    identity = scorer_identity(arguments.scorer)
    source = open_source(arguments.images)
    truth = match_truth(source.ids, read_truth(arguments.truth), arguments.truth)
    check_truth(truth, vocabulary, arguments.truth)
    scorer = Scorer(arguments.scorer, vocabulary)
    regions = [attribute.region for attribute in vocabulary.attributes.values()]
    views = ViewScorer(scorer, [WHOLE, MIRRORED, *CORNERS, *regions])
    used, embeds = embed_views(source, views, arguments.batch_size, arguments.workers)
    fitted = fit_calibration(views, embeds, [truth[position] for position in used])
    calibration = Calibration(fitted.attributes, hash_of(identity), hash_of_scored(vocabulary), len(used))
    calibration.write(output)
    passes = BestRecipe(scorer, calibration).passes
    print(f"wrote {output}: fitted on {len(used)} images; {passes} views of each image")
    for recipe, counted in (("paper", fitted.paper), ("best", fitted.best)):
        false = 100 * (counted["false_share"] or 0.0)
        print(f"{recipe}: {false:.2f} % of the statements are false, {counted['true_per_image']:.3f} true an image")


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = CommandParser(
        prog="python -m dataset_builders.calibrate",
        description="Make a scorer's probabilities trustworthy, with the help of labelled images. The command fits "
        "temperatures, priors, the weight of each view of an image, and the threshold below which nothing is said. "
        "The labelled images must be other ones than those that will be described.",
        epilog="example: python -m dataset_builders.calibrate --images people/images --truth people/truth.jsonl "
        "--scorer unipt/clip-tiny",
    )
    parser.add_argument(
        "--images",
        required=True,
        metavar="SRC",
        help="labelled images, in any of the forms that python -m dataset_builders.luperson_t reads",
    )
    parser.add_argument("--truth", required=True, metavar="FILE", help="truth.jsonl of these images")
    parser.add_argument("--scorer", required=True, help="CLIP- or SigLIP-style model, a folder or a name on the Hub")
    parser.add_argument("--attributes", metavar="FILE", help="vocabulary of another domain, a YAML file")
    parser.add_argument(
        "--output",
        metavar="FILE",
        help=f"the calibration file to write (default: {CALIBRATION_FILE} in the scorer's folder)",
    )
    parser.add_argument("--batch-size", type=int, default=64, help="images scored at once (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="threads that read images (default: %(default)s)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run_command(main)
