"""The questions that ``make reproduce`` answers, and the commands that answer them."""

import json
from dataclasses import dataclass
from pathlib import Path

from demo import BENCHMARK, UNLABELLED_PEOPLE, UNLABELLED_VIEWS
from jobs import Job
from stages import LAUNCH, PYTHON, RENDER

PRETRAIN = "train/configs/pretrain_tiny_{}.yaml"
CAPTIONS, STEPS = 4, 900


@dataclass(frozen=True)
class Run:
    """One model: pre-trained by the recipe ``training`` on a dataset of the recipe ``dataset``, measured zero-shot."""

    name: str
    dataset: str
    training: str

    @property
    def options(self):
        """Of train/pretrain.py, beside its configuration."""
        written = ["--caption_recipe", self.dataset] if self.training == "best" else []
        return ["--max_steps", STEPS, *written]


@dataclass(frozen=True)
class Experiment:
    """One question: its ``runs``, each for all ``seeds``."""

    title: str
    about: str
    seeds: tuple
    runs: tuple


EXPERIMENTS = {
    "recipes": Experiment(
        "Dataset recipe x training recipe",
        f"Zero-shot, the same images and {STEPS} steps. *Dataset*: how LUPerson-T was built of them; *training*: how "
        "the model was pre-trained on it. Synonyms, detail of the captions and training options of `best` were chosen "
        "on seed 0; seeds 1 and 2 were looked at once, for this table.",
        (0, 1, 2),
        tuple(
            Run(f"dataset {dataset}, training {training}", dataset, training)
            for training in ("paper", "best")
            for dataset in ("paper", "best")
        ),
    ),
}


def folder_of(run, seed, work):
    return work / f"seed-{seed}" / f"dataset-{run.dataset}-training-{run.training}"


def result_of(run, seed, work):
    """The numbers of a run's evaluation, or None while it is not there."""
    path = folder_of(run, seed, work).with_suffix(".json")
    if not path.exists():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))[0]
    return {name: value for name, value in record.items() if isinstance(value, int | float)}


def jobs_of(experiments, work):
    """The :class:`jobs.Job` of all runs, each once, after what it needs."""
    jobs = {}
    for experiment in experiments.values():
        for seed in experiment.seeds:
            for run in experiment.runs:
                for job in jobs_of_run(run, seed, Path(work)):
                    jobs.setdefault(job.output, job)
    return list(jobs.values())


def jobs_of_run(run, seed, work):
    home, model = work / f"seed-{seed}", folder_of(run, seed, work)
    people, benchmark, official = home / "unlabelled", home / "benchmark", home / "cuhk-pedes"
    dataset, result = home / f"luperson-t-{run.dataset}", model.with_suffix(".json")
    return [
        Job(
            people,
            [*RENDER, "--output", people, "--identities", UNLABELLED_PEOPLE, "--views", UNLABELLED_VIEWS]
            + ["--seed", 1000 + seed, "--layout", "images"],
        ),
        Job(
            benchmark,
            [*RENDER, "--output", benchmark, "--identities", BENCHMARK["identities"], "--views", BENCHMARK["views"]]
            + ["--seed", 2000 + seed, "--test-identities", BENCHMARK["test"], "--val-identities", BENCHMARK["val"]]
            + ["--layout", "cuhk-pedes"],
        ),
        Job(
            official,
            [*PYTHON, "-m", "dataset_builders.benchmarks", "cuhk-pedes", "--source", benchmark, "--output", official]
            + ["--allow-partial"],
            (benchmark,),
        ),
        Job(
            dataset,
            [*PYTHON, "-m", "dataset_builders.luperson_t", "--images", people / "images", "--output", dataset]
            + ["--scorer", "unipt/clip-tiny", "--recipe", run.dataset, "--seed", seed]
            + ["--captions-per-image", CAPTIONS],
            (people,),
        ),
        Job(
            model,
            [
                *LAUNCH,
                "train/pretrain.py",
                "--config",
                PRETRAIN.format(run.training),
                "--seed",
                seed,
                "--dataset",
                dataset,
            ]
            + ["--output_dir", model, *run.options],
            (dataset,),
        ),
        Job(
            result,
            [*PYTHON, "train/evaluate_retrieval.py", "--dataset", official, "--model", model, "--output", result],
            (official, model),
        ),
    ]
