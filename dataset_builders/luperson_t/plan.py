"""What a build needs to know before its first image: everything is read and checked here, before any work."""

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeling_unipt.common.user_errors import UserError
from modeling_unipt.sources.base import Source
from modeling_unipt.sources.open import open_source

from ..combine.captioner import Captioner
from ..conquer.calibration import Calibration, find_calibration, load_calibration
from ..conquer.scorer import scorer_identity
from ..divide.reading import load_vocabulary
from ..divide.vocabulary import Vocabulary
from ..measure.truth import match_truth, read_truth
from ..output.parquet_dataset import shard_paths
from ..output.shards import Team, find_team
from ..report.figures import check_can_draw
from .options import BuildOptions

logger = logging.getLogger(__name__)

# The values of settings that a version of this command may lack. An output of such a version was made with these.
DEFAULT_SETTINGS = {
    "calibration": None,
    "captioner": BuildOptions.captioner,
    "captions_per_image": BuildOptions.captions_per_image,
    "drop_duplicates": None,
    "dtype": BuildOptions.dtype,
    "duplicate_distance": BuildOptions.duplicate_distance,
    "exclude": None,
    "exclude_names": None,
    "license": BuildOptions.license,
    "min_subject_score": BuildOptions.min_subject_score,
    "quality": None,
    "seed": BuildOptions.seed,
    "shard_size": BuildOptions.shard_size,
    "truth": None,
    "without": [],
}


@dataclass(frozen=True)
class Plan:
    """A build, read and checked.

    Attributes:
        options: what the command line asks for.
        team: this process among those that share the work.
        vocabulary: of the attributes that are scored and written.
        captioner: writes the captions. It knows the attributes that are left out, too.
        source: the images.
        benchmarks: (name, images) of each benchmark whose images are refused.
        calibration: of the scorer, or None.
        calibration_file: where it was read from, or None.
        settings: what makes this build another than others; stored as build_settings.json.
        shards: the Parquet files to make, as paths relative to the dataset's folder.
    """

    options: BuildOptions
    team: Team
    vocabulary: Vocabulary
    captioner: Captioner
    source: Source
    benchmarks: tuple[tuple[str, Source], ...]
    calibration: Calibration | None
    calibration_file: Path | None
    settings: dict[str, Any]
    shards: list[Path]


def make_plan(options: BuildOptions) -> Plan:
    """Read everything that ``options`` name, except the models and the images themselves.

    Raises:
        UserError: something is missing or does not fit.
    """
    check_can_draw()
    team = find_team(options.rank, options.world_size)
    whole_vocabulary = load_vocabulary(options.attributes)
    vocabulary = whole_vocabulary.without(options.without)
    if options.min_subject_score is not None and vocabulary.subject is None:
        raise UserError(
            f"--min-subject-score needs the prompts of a 'subject', which the vocabulary '{vocabulary.name}' lacks; "
            "leave it out or add them, as in dataset_builders/data/vehicles.yaml"
        )
    captioner = Captioner(whole_vocabulary, whole_vocabulary.templates_for(options.recipe))
    source = open_source(options.images)
    benchmarks = tuple(
        (name, open_source(spec)) for name, spec in zip(options.excluded_names(), options.exclude, strict=True)
    )
    identity = scorer_identity(options.scorer)
    calibration_file = find_calibration(options.scorer, options.calibration) if options.recipe == "best" else None
    calibration = load_calibration(calibration_file, identity, whole_vocabulary) if calibration_file else None
    if options.recipe == "best" and calibration is None and team.rank == 0:
        logger.warning(
            "there is no calibration of %s; all values are taken to be equally frequent, and the scorer's own "
            "temperature is used. If you have labelled images, make one by python -m dataset_builders.calibrate: the "
            "captions become better; --recipe paper needs none",
            options.scorer,
        )
    if options.truth:
        # The truth is used at the end of a build; that it knows the images is made sure of before the work.
        match_truth(source.ids, read_truth(options.truth), options.truth)
    settings = {
        "images": source.fingerprint,
        "scorer": identity,
        "recipe": options.recipe,
        "calibration": _file_hash(calibration_file),
        "seed": options.seed,
        "captions_per_image": options.captions_per_image,
        "without": list(options.without),
        "dtype": options.dtype,
        "shard_size": options.shard_size,
        "captioner": options.captioner,
        "license": options.license,
        "vocabulary": whole_vocabulary.sha256[:12],
        "templates": captioner.template_set.sha256[:12],
        "truth": _file_hash(options.truth),
        "quality": options.quality.set_limits() or None,
        "exclude": [[name, benchmark.fingerprint] for name, benchmark in benchmarks] or None,
        "duplicate_distance": options.duplicate_distance,
        "drop_duplicates": options.drop_duplicates or None,
    }
    if benchmarks:
        # Versions up to 0.3 excluded by hashes alone.
        settings["exclude_names"] = True
    if options.min_subject_score is not None:
        settings["min_subject_score"] = options.min_subject_score
    return Plan(
        options=options,
        team=team,
        vocabulary=vocabulary,
        captioner=captioner,
        source=source,
        benchmarks=benchmarks,
        calibration=calibration,
        calibration_file=calibration_file,
        settings=settings,
        shards=shard_paths("train", len(source), options.shard_size),
    )


def _file_hash(path: Path | str | None) -> str | None:
    """The first 12 digits of the SHA-256 of a file's bytes, or None for no file."""
    return None if path is None else hashlib.sha256(Path(path).read_bytes()).hexdigest()[:12]
