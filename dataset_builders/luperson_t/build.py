"""Build LUPerson-T: unlabelled images of people -> pseudo-texts, by divide, conquer and combine (UniPT, section 3.1).

The work is cut into shards. The folder ``OUTPUT.partial`` holds them, their markers and the locks until the last shard
is done; then it becomes ``OUTPUT``. Whoever runs the same command again goes on with the shards that are not done.
"""

import errno
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from tqdm import tqdm
from transformers.utils import logging as transformers_logging

from modeling_unipt.common.atomic_files import written_aside
from modeling_unipt.common.output_folders import SETTINGS_FILE, finish_output, held_output
from modeling_unipt.common.parallel import usable_cores
from modeling_unipt.common.user_errors import UserError

from ..checks.image_checks import Exclusion, ImageChecks
from ..checks.subject_check import SubjectCheck
from ..combine.image_captioner import ImageCaptioner
from ..conquer.best_recipe import BestRecipe
from ..conquer.calibration import default_calibration
from ..conquer.paper_recipe import PaperRecipe
from ..conquer.scorer import Scorer
from ..output.hub import HubDataset, shards_sent
from ..output.shards import already_building, held, lock_of, mark_done, others_at_work, records, shards_to_do
from ..report.statistics import Statistics
from .finish import finish
from .plan import DEFAULT_SETTINGS, Plan
from .rows import Tools, write_shard

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What came of a build.

    Attributes:
        state: "complete before": there was nothing to do; "written": this process made the end; "left to others": its
            shards are done, and other processes have to finish theirs; "ended by another": another process, which was
            done at the same moment, makes the end.
        statistics: of the dataset, if this process made the end.
    """

    state: Literal["complete before", "written", "left to others", "ended by another"]
    statistics: Statistics | None = None


def build(plan: Plan, hub: HubDataset | None = None) -> Outcome:
    """Do this process's share of a build, and make the end if no other process has work left.

    Args:
        hub: where to send each shard that is done, or None. The caller publishes the finished dataset.

    Raises:
        UserError: a model cannot be loaded, no image can be used, the disk is full, or another process is at work.
    """
    output = plan.options.output
    with ExitStack() as stack:
        own_lock = lock_of("", plan.team).name
        work = stack.enter_context(
            held_output(output, plan.settings, DEFAULT_SETTINGS, own_lock, refusal=already_building(output))
        )
        if work is None:
            return Outcome("complete before")
        stack.enter_context(full_disk_told(work))
        todo = shards_to_do(work, len(plan.shards), plan.team)
        # Shards from which near-duplicates are dropped change at the end, see dataset_builders/output/hub.py.
        early = None if plan.options.drop_duplicates else hub
        with shards_sent(early, work, plan.shards, plan.team) as send:
            if todo:
                tools = prepare(work, plan)
                describe_shards(work, todo, plan, tools, send)
                # The end has no use for the models' memory.
                del tools
    with full_disk_told(work), ExitStack() as stack:
        # This process's lock is released by now: of two processes that are done at the same moment at least one sees
        # that the other is no longer at work.
        try:
            done = records(work, len(plan.shards))
            if done is None or others_at_work(work, plan.team):
                return Outcome("left to others")
            stack.enter_context(held(work / "lock-end", output))
        except (UserError, FileNotFoundError):
            return Outcome("ended by another")
        if not (work / SETTINGS_FILE).exists():
            return Outcome("ended by another")
        try:
            result, statistics = finish(work, done, plan)
        except UserError:
            shutil.rmtree(work)
            raise
        finish_output(result, output)
        shutil.rmtree(work)
    return Outcome("written", statistics)


@contextmanager
def full_disk_told(work: Path) -> Iterator[None]:
    """Turn a full disk into one sentence. What is done stays, and the next run goes on from there.

    Raises:
        UserError: the disk of ``work`` is full.
    """
    try:
        yield
    except OSError as error:
        # pyarrow raises errors without a number.
        if error.errno != errno.ENOSPC and "No space left" not in str(error):
            raise
        raise UserError(
            f"the disk of {work} is full; make room and run the same command again: it goes on with the shards that "
            "are not done"
        ) from None


def place(gpus: int) -> tuple[str, int]:
    """The device of this process, and how many batches it scores at once.

    Several processes may share a GPU. On a CPU every batch has one thread, whatever the number of cores: the number of
    threads that share a matrix product changes its last digits, and with them the bytes of the dataset.

    Args:
        gpus: number of GPUs of this machine.
    """
    local_rank = int(os.environ.get("LOCAL_RANK", 0))
    neighbours = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    if gpus:
        return f"cuda:{local_rank % gpus}", 1
    return "cpu", max(1, len(usable_cores()) // neighbours)


def prepare(work: Path, plan: Plan) -> Tools:
    """Load the models and hash the benchmarks. If that fails, a work folder without any work in it is removed.

    Raises:
        UserError: a model cannot be loaded.
    """
    options = plan.options
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    device, lanes = place(torch.cuda.device_count())
    if device == "cpu":
        torch.set_num_threads(1)
    try:
        scorer = Scorer(options.scorer, plan.vocabulary, device, getattr(torch, options.dtype))
        if options.recipe == "best":
            recipe = BestRecipe(scorer, plan.calibration or default_calibration(plan.vocabulary))
        else:
            recipe = PaperRecipe(scorer)
        subject_check = None
        if options.min_subject_score is not None:
            subject_check = SubjectCheck(scorer, plan.vocabulary.subject, options.min_subject_score)
        image_captioner = ImageCaptioner(options.captioner, device) if options.captioner else None
        exclusion = Exclusion(options.duplicate_distance)
        for (name, benchmark), spec in zip(plan.benchmarks, options.exclude, strict=True):
            exclusion.add(name, benchmark, options.workers, spec)
    except UserError:
        if not (work / "done").exists():
            shutil.rmtree(work, ignore_errors=True)
        raise
    return Tools(
        images=options.images,
        recipe=recipe,
        captioner=plan.captioner,
        seed=options.seed,
        captions_per_image=options.captions_per_image,
        image_captioner=image_captioner,
        image_captioner_name=options.captioner,
        checks=ImageChecks(options.quality, exclusion),
        subject_check=subject_check,
        batch_size=options.batch_size,
        lanes=lanes,
        workers=options.workers,
    )


def describe_shards(work: Path, todo: list[int], plan: Plan, tools: Tools, send: Callable[[int], None]) -> None:
    """Write this process's shards: each aside, then renamed, then marked, then handed to ``send`` by its number.

    Args:
        todo: numbers of the shards to write.
    """
    size = plan.options.shard_size
    positions = {number: range(len(plan.source))[number * size : (number + 1) * size] for number in todo}
    if (work / "done").exists():
        logger.info("going on: %s of %s shards are left for this process", len(todo), len(plan.shards))
    with tqdm(total=sum(map(len, positions.values())), desc="LUPerson-T", unit="image") as bar:
        for number in todo:
            path = work / "shards" / plan.shards[number]
            path.parent.mkdir(parents=True, exist_ok=True)
            with written_aside(path) as aside:
                record = write_shard(aside, plan.source, positions[number], tools, bar.update)
            mark_done(work, number, {**record, "revision": tools.recipe.scorer.revision})
            send(number)
