"""Build LUPerson-T: unlabelled person images -> pseudo-texts, by divide, conquer and combine (UniPT, section 3.1).

python -m dataset_builders.luperson_t --images MY_CROPS --scorer openai/clip-vit-base-patch16 --output my-luperson-t
torchrun --nproc-per-node 8 -m dataset_builders.luperson_t ...      # one process a GPU
python -m dataset_builders.luperson_t ... --push-to-hub ME/MY_DATASET --private      # also of a complete OUTPUT

The work is cut into shards, and whoever runs the same command again goes on with those that are not done. The folder
``OUTPUT.partial`` holds them, their markers and the locks until the last shard is done; then it becomes ``OUTPUT``.
"""

import contextlib
import errno
import hashlib
import os
import shutil
import sys
from pathlib import Path

from modeling_unipt.common.output_folders import SETTINGS_FILE, finish_output, start_output
from modeling_unipt.common.parallel import usable_cores
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.sources.open import open_source

from ..agreement import match_truth, read_truth
from ..checks.image_checks import Exclusion, ImageChecks
from ..combine.captioner import Captioner
from ..conquer.calibration import find_calibration, load_calibration
from ..conquer.scorer_identity import scorer_identity
from ..divide.reading import load_vocabulary
from ..output.hub import HubDataset, shards_sent
from ..output.parquet_dataset import shard_paths
from ..output.shards import find_team, held, mark_done, others_at_work, records, shards_to_do
from ..report.figures import check_can_draw
from .options import parse


def place(gpus):
    """(device, batches to describe at once) of this process, given the number of GPUs of this machine.

    Several processes may share a GPU. On a CPU every batch has one thread, whatever the number of cores: how many
    threads share a matrix product changes its last digits, and with them the bytes of the dataset.
    """
    local_rank, neighbours = (int(os.environ.get(name, n)) for name, n in (("LOCAL_RANK", 0), ("LOCAL_WORLD_SIZE", 1)))
    if gpus:
        return f"cuda:{local_rank % gpus}", 1
    cores = len(usable_cores())
    return "cpu", max(1, cores // neighbours)


def prepare(work, arguments, vocabulary, calibration, captioner, benchmarks):
    """The :class:`dataset_builders.luperson_t.rows.Tools`; an empty work folder is removed where they cannot be had."""
    import torch
    from transformers.utils import logging

    from ..checks.subject_check import SubjectCheck
    from ..conquer.best_recipe import BestRecipe
    from ..conquer.calibration import default_calibration
    from ..conquer.scorer import PaperRecipe, Scorer
    from .rows import Tools

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    device, lanes = place(torch.cuda.device_count())
    if device == "cpu":
        torch.set_num_threads(1)
    try:
        scorer = Scorer(arguments.scorer, vocabulary, device, getattr(torch, arguments.dtype))
        if arguments.recipe == "best":
            recipe = BestRecipe(scorer, calibration or default_calibration(vocabulary))
        else:
            recipe = PaperRecipe(scorer)
        subject_check, image_captioner = None, None
        if arguments.min_subject_score is not None:
            subject_check = SubjectCheck(scorer, vocabulary.subject, arguments.min_subject_score)
        if arguments.captioner:
            from ..combine.image_captioner import ImageCaptioner

            image_captioner = ImageCaptioner(arguments.captioner, device)
        exclusion = Exclusion(arguments.duplicate_distance)
        for label, benchmark in benchmarks:
            exclusion.add(label, benchmark, arguments.workers)
    except UserError:
        if not (work / "done").exists():
            shutil.rmtree(work, ignore_errors=True)
        raise
    return Tools(recipe, captioner, image_captioner, ImageChecks(arguments.quality, exclusion), subject_check, lanes)


def describe_shards(work, shards, todo, source, tools, arguments, send):
    """Write this process's shards, each aside, then renamed, then marked, then handed to ``send`` by number."""
    from tqdm import tqdm

    from .rows import write_shard

    def positions(number):
        return range(len(source))[number * arguments.shard_size : (number + 1) * arguments.shard_size]

    if (work / "done").exists():
        print(f"going on: {len(todo)} of {len(shards)} shards are left for this process")
    with tqdm(total=sum(len(positions(number)) for number in todo), desc="LUPerson-T", unit="image") as bar:
        for number in todo:
            path = work / "shards" / shards[number]
            aside = path.with_name(path.name + ".aside")
            record = write_shard(aside, source, positions(number), tools, arguments, bar.update)
            os.replace(aside, path)
            mark_done(work, number, {**record, "revision": tools.scorer.revision})
            send(number)


def claim_work(output, settings, team, stack):
    """This process's work folder, its lock entered into ``stack``; None where the output is complete.

    Of processes that begin together one may end the build before another has its lock: that one looks again.
    """
    while True:
        work = start_output(output, settings, keep_partial=True)
        if work is None:
            return None
        with contextlib.suppress(FileNotFoundError), contextlib.ExitStack() as attempt:
            attempt.enter_context(held(work / f"lock-{team.rank}", output))
            if (work / SETTINGS_FILE).exists():
                stack.push(attempt.pop_all())
                return work


@contextlib.contextmanager
def out_of_space_told(work):
    """Turn a full disk into a sentence; what is done stays, to go on from."""
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC and "No space left" not in str(error):
            raise
        for aside in work.glob("**/*.aside"):
            aside.unlink()
        raise UserError(
            f"the disk of {work} is full; make room and run the same command again: it goes on with the shards that "
            "are not done"
        ) from None


def main(argv=None):
    arguments = parse(argv)
    check_can_draw()
    team = find_team(arguments.rank, arguments.world_size)
    whole_vocabulary = load_vocabulary(arguments.attributes)
    vocabulary = whole_vocabulary.without(arguments.without)
    if arguments.min_subject_score is not None and vocabulary.subject is None:
        raise UserError(
            f"--min-subject-score needs the prompts of a 'subject', which the vocabulary '{vocabulary.name}' lacks; "
            "leave it out or add them, as in dataset_builders/data/vehicles.yaml"
        )
    captioner = Captioner(whole_vocabulary, whole_vocabulary.templates_for(arguments.recipe))
    source = open_source(arguments.images)
    benchmarks = [(Path(spec).name, open_source(spec)) for spec in arguments.exclude]
    identity = scorer_identity(arguments.scorer)
    calibration, calibrated_by = None, None
    if arguments.recipe == "best":
        arguments.calibration = find_calibration(arguments.scorer, arguments.calibration)
    if arguments.calibration:
        calibration = load_calibration(arguments.calibration, identity, whole_vocabulary)
        calibrated_by = hashlib.sha256(arguments.calibration.read_bytes()).hexdigest()[:12]
    if arguments.recipe == "best" and calibration is None and team.rank == 0:
        print(
            f"warning: no calibration of {arguments.scorer}: even priors and its own temperature are taken. Where "
            "there are labelled pictures, python -m dataset_builders.calibrate does better; --recipe paper needs none",
            file=sys.stderr,
        )
    settings = {
        "images": source.fingerprint,
        "scorer": identity,
        "recipe": arguments.recipe,
        "calibration": calibrated_by,
        "seed": arguments.seed,
        "captions_per_image": arguments.captions_per_image,
        "without": sorted(set(arguments.without)),
        "dtype": arguments.dtype,
        "shard_size": arguments.shard_size,
        "captioner": arguments.captioner,
        "license": arguments.license,
        "vocabulary": whole_vocabulary.sha256[:12],
        "templates": captioner.template_set.sha256[:12],
        "truth": None,
        "quality": {name: limit for name, limit in vars(arguments.quality).items() if limit is not None} or None,
        "exclude": [[label, benchmark.fingerprint] for label, benchmark in benchmarks] or None,
        "duplicate_distance": arguments.duplicate_distance,
        "drop_duplicates": arguments.drop_duplicates or None,
    }
    if arguments.min_subject_score is not None:
        settings["min_subject_score"] = arguments.min_subject_score
    if arguments.truth:
        match_truth(source.ids, read_truth(arguments.truth), arguments.truth)
        settings["truth"] = hashlib.sha256(Path(arguments.truth).read_bytes()).hexdigest()[:12]
    hub = HubDataset(arguments.push_to_hub, arguments.private) if arguments.push_to_hub else None
    shards = shard_paths("train", len(source), arguments.shard_size)
    with contextlib.ExitStack() as lock:
        work = claim_work(arguments.output, settings, team, lock)
        if work is None:
            if hub and team.rank == 0:
                hub.publish(arguments.output)
            return
        lock.enter_context(out_of_space_told(work))
        todo = shards_to_do(work, len(shards), team)
        early = None if arguments.drop_duplicates else hub  # see hub_upload.py
        with shards_sent(early, work, shards, team) as send:
            if todo:
                tools = prepare(work, arguments, vocabulary, calibration, captioner, benchmarks)
                describe_shards(work, shards, todo, source, tools, arguments, send)
                del tools  # the end has no use for the models' memory
    from .finish import finish

    with out_of_space_told(work), contextlib.ExitStack() as stack:
        try:
            done = records(work, len(shards))
            if done is not None and others_at_work(work, team):
                done = None  # they may be sending shards still; the last of them makes the end
            if done is not None:
                stack.enter_context(held(work / "lock-end", arguments.output))
        except (UserError, FileNotFoundError):
            return  # another process that was done at the same moment makes the end, or has just made it
        if done is None:
            print(f"process {team.rank} of {team.size} is done; {arguments.output} appears when the others are, too")
            return
        if not (work / SETTINGS_FILE).exists():
            return
        revision = " and ".join(sorted({record["revision"] for record in done} - {None})) or None
        try:
            result, statistics = finish(work, shards, done, source, vocabulary, captioner, revision, arguments)
        except UserError:
            shutil.rmtree(work)
            raise
        finish_output(result, arguments.output)
        shutil.rmtree(work)
    refused = f"; {statistics.rejected} files were refused, see rejected.jsonl in it" if statistics.rejected else ""
    refused += f"; {statistics.duplicates} are near-duplicates of others" if statistics.duplicates else ""
    print(f"wrote {arguments.output}: {statistics.images} images, {statistics.captions} captions{refused}")
    if hub:
        hub.publish(arguments.output)
