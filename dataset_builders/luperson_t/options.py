"""The options of ``python -m dataset_builders.luperson_t``."""

import argparse
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeling_unipt.common.command_line import CommandParser
from modeling_unipt.common.user_errors import UserError

from ..checks.image_checks import LIMITS, QualityFilter
from ..checks.near_duplicates import DISTANCE, MAX_DISTANCE
from ..conquer.calibration import NO_CALIBRATION
from ..divide.vocabulary import RECIPES, RecipeName
from ..output.parquet_dataset import SHARD_ROWS

# Names of torch's dtypes; torch itself is not imported here, so that --help is fast.
DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class BuildOptions:
    """What the command line asks for, checked. ``--help`` says what each option does.

    Attributes:
        calibration: path of a file, "none", or None to look beside the scorer.
        without: names of attributes, sorted.
        quality: of ``--filter`` and the limits that were named.
    """

    images: str
    scorer: str
    output: str
    recipe: RecipeName = "best"
    calibration: str | None = None
    seed: int = 0
    captions_per_image: int = 1
    attributes: str | None = None
    without: tuple[str, ...] = ()
    batch_size: int = 64
    workers: int = 1
    dtype: str = "float32"
    captioner: str | None = None
    license: str = "other"
    truth: str | None = None
    shard_size: int = SHARD_ROWS
    rank: int | None = None
    world_size: int | None = None
    quality: QualityFilter = QualityFilter()
    min_subject_score: float | None = None
    exclude: tuple[str, ...] = ()
    duplicate_distance: int = DISTANCE
    drop_duplicates: bool = False
    push_to_hub: str | None = None
    private: bool = False

    def limits(self) -> dict[str, float]:
        """The limits that refuse images, by name, with their numbers."""
        limits = self.quality.set_limits()
        if self.min_subject_score is not None:
            limits["min_subject_score"] = self.min_subject_score
        return limits

    def excluded_names(self) -> list[str]:
        """The names by which the reasons and the card call the benchmarks of ``--exclude``."""
        return [Path(spec).name for spec in self.exclude]


def parse(argv: Sequence[str] | None = None) -> BuildOptions:
    """Read and check the command line; None stands for this process's own.

    Raises:
        UserError: a number is out of range, or two options contradict each other.
    """
    given = vars(_parser().parse_args(argv))
    quality = _quality(given)
    names = [field.name for field in dataclasses.fields(BuildOptions) if field.name in given]
    options = BuildOptions(
        **{name: given[name] for name in names if name not in ("without", "exclude")},
        without=tuple(sorted(set(given["without"]))),
        exclude=tuple(given["exclude"]),
        quality=quality,
    )
    _check(options)
    return options


def _check(options: BuildOptions) -> None:
    for name in ("captions_per_image", "batch_size", "workers", "shard_size"):
        number = getattr(options, name)
        if number < 1:
            raise UserError(f"--{name.replace('_', '-')} {number} must be at least 1")
    if options.calibration and options.recipe != "best":
        raise UserError("--calibration belongs to --recipe best; leave it out or add that")
    if options.seed < 0:
        raise UserError(f"--seed {options.seed} must not be negative")
    if not 0 <= options.duplicate_distance <= MAX_DISTANCE:
        raise UserError(f"--duplicate-distance {options.duplicate_distance} must be from 0 to {MAX_DISTANCE}")
    if options.min_subject_score is not None and not 0 < options.min_subject_score < 1:
        raise UserError(f"--min-subject-score {options.min_subject_score:g} must lie between 0 and 1")
    if options.private and not options.push_to_hub:
        raise UserError("--private belongs to --push-to-hub; name the REPO")


def _quality(given: dict[str, Any]) -> QualityFilter:
    limits = {}
    for limit in LIMITS:
        number = given[limit.name]
        # "not 0 <= nan" holds too, so this also refuses nan.
        if number is not None and not 0 <= number < float("inf"):
            raise UserError(f"{limit.option} {number:g} must be a number that is not negative")
        limits[limit.name] = limit.default if number is None and given["filter"] else number
    quality = QualityFilter(**limits)
    if quality.min_aspect is not None and quality.max_aspect is not None and quality.min_aspect > quality.max_aspect:
        raise UserError(
            f"--min-aspect {quality.min_aspect:g} is more than --max-aspect {quality.max_aspect:g}; no image has both"
        )
    return quality


def command_of(options: BuildOptions, calibration: str | None) -> str:
    """The command that builds the same dataset, without the paths of this machine.

    Args:
        calibration: name of the calibration file that was used, or None.
    """
    words = ["python -m dataset_builders.luperson_t --images IMAGES --output OUTPUT"]
    words.append(f"--scorer {options.scorer} --seed {options.seed} --captions-per-image {options.captions_per_image}")
    words.append(f"--recipe {options.recipe}")
    if options.recipe == "best":
        words.append(f"--calibration {calibration or NO_CALIBRATION}")
    if options.attributes:
        words.append(f"--attributes {Path(options.attributes).name}")
    words += [f"--without {name}" for name in options.without]
    if options.captioner:
        words.append(f"--captioner {options.captioner}")
    if options.shard_size != BuildOptions.shard_size:
        words.append(f"--shard-size {options.shard_size}")
    if options.dtype != BuildOptions.dtype:
        words.append(f"--dtype {options.dtype}")
    words += [f"--{name.replace('_', '-')} {limit:g}" for name, limit in options.limits().items()]
    words += [f"--exclude {name}" for name in options.excluded_names()]
    if options.duplicate_distance != BuildOptions.duplicate_distance:
        words.append(f"--duplicate-distance {options.duplicate_distance}")
    if options.drop_duplicates:
        words.append("--drop-duplicates")
    return " ".join(words)


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="python -m dataset_builders.luperson_t",
        description="Describe unlabelled images of people. A frozen CLIP scores the phrases of 14 attributes against "
        "each image, and sentence templates turn the best phrases into captions. The result is a folder of Parquet "
        "shards with a dataset card. load_dataset and train/pretrain.py read it. The file rejected.jsonl lists every "
        "image that was not used, and why.",
        epilog="example: python -m dataset_builders.luperson_t --images MY_CROPS --scorer openai/clip-vit-base-patch16 "
        "--output my-luperson-t --workers 4",
    )
    add = parser.add_argument
    add(
        "--images",
        required=True,
        metavar="SRC",
        help="images of one person each. SRC is one of: a folder of image files, with all its sub-folders; a tar file "
        "or a folder of tar files (WebDataset); a Parquet file or a folder of them; a folder that save_to_disk wrote, "
        "or the name of a dataset on the Hub, both with SRC:SPLIT to name a split; LUPerson's LMDB",
    )
    add(
        "--scorer",
        required=True,
        help="CLIP- or SigLIP-style model that scores the phrases: a folder, or a name on the Hugging Face Hub",
    )
    add(
        "--recipe",
        choices=RECIPES,
        default=BuildOptions.recipe,
        help="how phrases are chosen and captions written. paper: the most similar phrase of each required attribute, "
        "optional attributes above a probability of 0.9, and the paper's 456 templates. best: several prompts and "
        "several views of each image, calibrated probabilities, no statement about what is uncertain, and captions of "
        "one image that differ in detail (default: %(default)s)",
    )
    add(
        "--calibration",
        metavar="FILE",
        help="for the recipe best: the file that python -m dataset_builders.calibrate wrote for this scorer, or the "
        "word none (default: calibration.json in the scorer's folder). Without a calibration all values are taken to "
        "be equally frequent, and the scorer's own temperature is used",
    )
    add(
        "--output",
        required=True,
        help="folder of the dataset. It must be new, or be a complete or unfinished build of the same settings",
    )
    add(
        "--seed",
        type=int,
        default=BuildOptions.seed,
        help="seed of the random choice among templates and synonyms (default: %(default)s)",
    )
    add(
        "--captions-per-image",
        type=int,
        default=BuildOptions.captions_per_image,
        metavar="K",
        help="captions for each image, each from another template (default: %(default)s)",
    )
    add(
        "--attributes",
        metavar="FILE",
        help="a vocabulary for other things than people: a YAML file such as dataset_builders/data/vehicles.yaml. It "
        "also names its templates (default: the 14 attributes of people)",
    )
    add(
        "--without",
        action="append",
        default=[],
        metavar="ATTRIBUTE",
        help="an attribute to leave out, such as gender or age: it is neither scored nor written; may be repeated",
    )
    add(
        "--batch-size",
        type=int,
        default=BuildOptions.batch_size,
        help="images scored at once (default: %(default)s)",
    )
    add(
        "--workers",
        type=int,
        default=BuildOptions.workers,
        help="threads that read and decode images (default: %(default)s)",
    )
    add(
        "--dtype",
        choices=DTYPES,
        default=BuildOptions.dtype,
        help="precision of the scorer's matrix products (default: %(default)s)",
    )
    add(
        "--captioner",
        metavar="MODEL",
        help="an image-text-to-text model, such as Qwen/Qwen2.5-VL-3B-Instruct. It writes one more caption for each "
        "image; the column caption_backends says who wrote which caption",
    )
    add(
        "--license",
        default=BuildOptions.license,
        help="licence of the images, by its name on the Hub (default: %(default)s)",
    )
    add(
        "--truth",
        metavar="FILE",
        help="truth.jsonl with the known attributes of these images. The dataset card then tells how often the chosen "
        "phrases are right; the dataset itself does not change",
    )
    _add_scale(parser)
    _add_refusals(parser)
    _add_hub(parser)
    return parser


def _add_scale(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "scale",
        "A command that was killed can be started again: it goes on with the shards that are not done, and the result "
        "is the same. Several processes can share the work. Under torchrun or accelerate launch each process finds its "
        "part by itself. On several machines with a common file system name it, as in: srun python -m "
        "dataset_builders.luperson_t ... --rank $SLURM_PROCID --world-size $SLURM_NTASKS",
    )
    group.add_argument(
        "--shard-size",
        type=int,
        default=BuildOptions.shard_size,
        metavar="N",
        help="images in each Parquet file (default: %(default)s)",
    )
    group.add_argument("--rank", type=int, metavar="R", help="number of this process, counted from 0")
    group.add_argument("--world-size", type=int, metavar="W", help="number of all processes")


def _add_refusals(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "refusing images",
        "Without these options every image that can be decoded is used, as in the paper.",
    )
    group.add_argument(
        "--filter",
        action="store_true",
        help="refuse images of poor quality: set all five limits below to the numbers in their descriptions",
    )
    for limit in LIMITS:
        group.add_argument(
            limit.option,
            type=float,
            metavar="N",
            help=f"{limit.help} (--filter sets {limit.default:g})",
        )
    group.add_argument(
        "--min-subject-score",
        type=float,
        metavar="P",
        help="refuse images that show no person (or nothing of what --attributes is about): those whose subject score "
        "is below P. The score is the probability that the scorer gives to the vocabulary's `subject` prompts against "
        "its negative prompts. --filter does not set it, because scorers differ; unipt/clip-tiny, which was trained on "
        "rendered people only, cannot tell. Choose P on images that you know",
    )
    group.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="BENCHMARK",
        help="refuse images that also occur in BENCHMARK, a dataset written by dataset_builders.benchmarks or any "
        "other SRC: those that look the same (see --duplicate-distance), those of the same file name, and all images "
        "of its people as far as file names tell them. They do in Market-1501, DukeMTMC-reID, MSMT17, CUHK01, CUHK03, "
        "CUHK-SYSU and VIPeR, of which ICFG-PEDES, RSTPReid and CUHK-PEDES are made; may be repeated",
    )
    group.add_argument(
        "--duplicate-distance",
        type=int,
        default=BuildOptions.duplicate_distance,
        metavar="BITS",
        help="two images count as the same if their perceptual hashes of 64 bits differ in at most this many bits. "
        "--exclude uses it, and so does the column duplicate_of, which names the first of several such images. Choose "
        f"a smaller number for millions of images that look alike; from 0 to {MAX_DISTANCE} (default: %(default)s)",
    )
    group.add_argument(
        "--drop-duplicates", action="store_true", help="leave near-duplicates out instead of only marking them"
    )


def _add_hub(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "the Hugging Face Hub",
        "Without --push-to-hub nothing is sent anywhere. With it each shard is sent when it is finished (with "
        "--drop-duplicates all are sent at the end). One commit at the end shows them, so nobody can load half of a "
        "dataset. The same command goes on with an interrupted upload, and sends an OUTPUT that is already complete. "
        "A token with write permission is needed, from HF_TOKEN or `hf auth login`.",
    )
    group.add_argument(
        "--push-to-hub",
        metavar="REPO",
        help="name of the dataset on the Hub, as ME/NAME. It is made if there is none. In a dataset that this command "
        "made before, the new shards replace the old ones. A dataset that something else made is refused",
    )
    group.add_argument(
        "--private", action="store_true", help="make REPO private; a REPO that exists and is public is refused"
    )
