"""The options of ``python -m dataset_builders.luperson_t``."""

import argparse

from modeling_unipt.common.user_errors import UserError

from ..checks.image_checks import LIMITS, QualityFilter
from ..checks.near_duplicates import DISTANCE, MAX_DISTANCE
from ..output.parquet_dataset import SHARD_ROWS

RECIPES = ("paper", "best")
DTYPES = ("float32", "bfloat16", "float16")


def parse(argv):
    """Read and check the command line.

    Returns:
        The namespace of arguments; ``quality`` is a :class:`dataset_builders.checks.image_checks.QualityFilter`.
    Raises:
        UserError: a number is out of range.
    """
    parser = argparse.ArgumentParser(
        prog="python -m dataset_builders.luperson_t",
        description="Write descriptions of unlabelled person images. A frozen CLIP scores the phrases of 14 attributes "
        "against each image, and sentence templates make captions of the phrases that fit best. The result is a folder "
        "of Parquet shards with a dataset card, for load_dataset and for train/pretrain.py. Every image that is not "
        "used is listed with its reason in rejected.jsonl.",
        epilog="example: python -m dataset_builders.luperson_t --images MY_CROPS --scorer openai/clip-vit-base-patch16 "
        "--output my-luperson-t --workers 4",
    )
    parser.add_argument(
        "--images",
        required=True,
        metavar="SRC",
        help="person crops: a folder of image files, searched with all its sub-folders; a tar file or a folder of tar "
        "files (WebDataset); a Parquet file or a folder of them; a folder that save_to_disk wrote or a dataset's name "
        "on the Hub, with SRC:SPLIT for one of its splits; or LUPerson's LMDB",
    )
    parser.add_argument(
        "--scorer", required=True, help="CLIP- or SigLIP-style model, a folder or a name on the Hugging Face Hub"
    )
    parser.add_argument(
        "--recipe",
        choices=RECIPES,
        default="best",
        help="paper: arg-max for required attributes, 0.9 for optional ones, 456 templates; best: prompt ensembles and "
        "several views of each picture, calibrated, nothing said where unsure, captions that differ in detail "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--calibration",
        metavar="FILE",
        help="of the recipe best: what python -m dataset_builders.calibrate wrote for this scorer (default: "
        "calibration.json in the scorer's folder; without it, or with the word none, even priors and the scorer's own "
        "temperature)",
    )
    parser.add_argument("--output", required=True, help="folder for the dataset; must be new")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the drawing of templates and synonyms (default: %(default)s)"
    )
    parser.add_argument(
        "--captions-per-image", type=int, default=1, metavar="K", help="each by another template (default: %(default)s)"
    )
    parser.add_argument(
        "--attributes",
        metavar="FILE",
        help="vocabulary of another domain, a YAML file like dataset_builders/data/vehicles.yaml, which names its "
        "templates (default: the 14 attributes of people)",
    )
    parser.add_argument(
        "--without",
        action="append",
        default=[],
        metavar="ATTRIBUTE",
        help="an attribute that is neither scored nor written, such as gender or age; may be repeated",
    )
    parser.add_argument("--batch-size", type=int, default=64, help="images scored at once (default: %(default)s)")
    parser.add_argument(
        "--workers", type=int, default=1, help="threads that read and decode images (default: %(default)s)"
    )
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        default="float32",
        help="precision of the scorer's matrix products (default: %(default)s)",
    )
    parser.add_argument(
        "--captioner",
        metavar="MODEL",
        help="an image-text-to-text model, such as Qwen/Qwen2.5-VL-3B-Instruct, that adds one caption an image to "
        "those of the templates; the column caption_backends says whose a caption is",
    )
    parser.add_argument(
        "--license", default="other", help="licence of the images, as the Hub names it (default: %(default)s)"
    )
    parser.add_argument(
        "--truth",
        metavar="FILE",
        help="truth.jsonl with the known attributes of these images; adds a table of agreement to the dataset card and "
        "changes nothing else",
    )
    _add_scale(parser)
    _add_refusals(parser)
    _add_hub(parser)
    arguments = parser.parse_args(argv)
    for name in ("captions_per_image", "batch_size", "workers", "shard_size"):
        if getattr(arguments, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} {getattr(arguments, name)} must be at least 1")
    if arguments.calibration and arguments.recipe != "best":
        raise UserError("--calibration belongs to --recipe best; leave it out or add that")
    if arguments.seed < 0:
        raise UserError(f"--seed {arguments.seed} must not be negative")
    if not 0 <= arguments.duplicate_distance <= MAX_DISTANCE:
        raise UserError(f"--duplicate-distance {arguments.duplicate_distance} must be from 0 to {MAX_DISTANCE}")
    if arguments.min_subject_score is not None and not 0 < arguments.min_subject_score < 1:
        raise UserError(f"--min-subject-score {arguments.min_subject_score:g} must lie between 0 and 1")
    if arguments.private and not arguments.push_to_hub:
        raise UserError("--private belongs to --push-to-hub; name the REPO")
    arguments.quality = _quality(arguments)
    return arguments


def _add_scale(parser):
    group = parser.add_argument_group(
        "scale",
        "Killed at any moment, the same command goes on with the shards that are not done, and the result is the same. "
        "Several processes share the work: under torchrun or accelerate launch each finds its part by itself; on "
        "several machines with one file system name it, as in: srun python -m dataset_builders.luperson_t ... --rank "
        "$SLURM_PROCID --world-size $SLURM_NTASKS",
    )
    group.add_argument(
        "--shard-size", type=int, default=SHARD_ROWS, metavar="N", help="images a Parquet file (default: %(default)s)"
    )
    group.add_argument("--rank", type=int, metavar="R", help="number of this process, from 0")
    group.add_argument("--world-size", type=int, metavar="W", help="number of processes")


def _add_refusals(parser):
    group = parser.add_argument_group(
        "refusing images",
        "Every image that can be decoded is used unless one of these options is given; the paper's recipe has none.",
    )
    group.add_argument(
        "--filter", action="store_true", help="refuse images of poor quality, by the numbers named at the next options"
    )
    for limit in LIMITS:
        group.add_argument(
            limit.option,
            type=float,
            metavar="N",
            help=f"{limit.help} N (with --filter: {limit.default:g}; alone: only this limit, with its number)",
        )
    group.add_argument(
        "--min-subject-score",
        type=float,
        metavar="P",
        help="refuse pictures that show no person, or none of what --attributes is about: softmax probability of the "
        "vocabulary's `subject` prompts against its negative ones, from the embedding that is made anyway; at least P. "
        "No part of --filter, because scorers differ: unipt/clip-tiny, which saw nothing but rendered people, cannot "
        "tell. Find P on images that you know",
    )
    group.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="BENCHMARK",
        help="a dataset written by dataset_builders.benchmarks, or any other SRC; images that also occur there are "
        "refused; may be repeated",
    )
    group.add_argument(
        "--duplicate-distance",
        type=int,
        default=DISTANCE,
        metavar="BITS",
        help="images whose perceptual hashes of 64 bits differ in at most so many bits count as the same: for "
        "--exclude and for the column duplicate_of, which names the first of them; take fewer for millions of images "
        f"that look alike; 0 to {MAX_DISTANCE} (default: %(default)s)",
    )
    group.add_argument(
        "--drop-duplicates", action="store_true", help="leave near-duplicates out instead of only marking them"
    )


def _add_hub(parser):
    group = parser.add_argument_group(
        "the Hugging Face Hub",
        "Nothing is sent anywhere without --push-to-hub. With it shards are sent as they finish (all at the end with "
        "--drop-duplicates), and one commit at the end shows them, so that nobody loads half of it. The same command "
        "goes on with an interrupted upload, and sends an OUTPUT that is already complete. It needs a token that may "
        "write, from HF_TOKEN or `hf auth login`.",
    )
    group.add_argument(
        "--push-to-hub",
        metavar="REPO",
        help="dataset to write to, as ME/NAME; made if there is none. One that this command made before gets the new "
        "shards in place of its old ones; one of another origin is refused",
    )
    group.add_argument(
        "--private", action="store_true", help="make REPO private; a REPO that is there and public is refused"
    )


def _quality(arguments):
    limits = {}
    for limit in LIMITS:
        name = limit.option[2:].replace("-", "_")
        given = getattr(arguments, name)
        if given is not None and not 0 <= given < float("inf"):
            raise UserError(f"{limit.option} {given:g} must be a number that is not negative")
        limits[name] = limit.default if given is None and arguments.filter else given
    quality = QualityFilter(**limits)
    if quality.min_aspect is not None and quality.max_aspect is not None and quality.min_aspect > quality.max_aspect:
        raise UserError(
            f"--min-aspect {quality.min_aspect:g} is more than --max-aspect {quality.max_aspect:g}; no image has both"
        )
    return quality
