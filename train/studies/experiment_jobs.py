"""The commands that make and measure the models of :mod:`experiments`, each a :class:`unipt_train.studies.jobs.Job`."""

import json
from pathlib import Path

from unipt_train.demo import BENCHMARK, UNLABELLED_VIEWS
from unipt_train.studies.commands import PYTHON, RENDER
from unipt_train.studies.experiments import FINETUNING, Finetuned
from unipt_train.studies.jobs import Job

CAPTIONS = 4


class SeedJobs:
    """The jobs of one seed, each listed once, after those that it needs.

    Args:
        times: pre-trainings take so many times their steps; ``work`` must be another folder for each such number.
    Attributes:
        jobs: output -> :class:`unipt_train.studies.jobs.Job`.
    """

    def __init__(self, seed, work, times=1):
        self.seed, self.home, self.times, self.jobs = seed, Path(work) / f"seed-{seed}", times, {}

    def _add(self, name, command, *needs, option="--output"):
        output = self.home / name
        self.jobs.setdefault(output, Job(output, [*command, option, output], needs))
        return output

    def _train(self, script, name, config, options, *needs):
        command = [*PYTHON, f"train/{script}.py", "--cpu", "true", "--config", f"train/configs/{config}.yaml"]
        return self._add(name, [*command, "--seed", self.seed, *options], *needs, option="--output_dir")

    def benchmark(self, domain):
        """The folder of the benchmark of a rendered domain, as ``load_dataset`` reads it."""
        suffix, seed = ("", 2000) if domain == "street" else (f"-{domain}", 3000)
        people = ["--identities", BENCHMARK["identities"], "--views", BENCHMARK["views"], "--seed", seed + self.seed]
        people += ["--test-identities", BENCHMARK["test"], "--val-identities", BENCHMARK["val"]]
        people += ["--layout", "cuhk-pedes"] + ([] if domain == "street" else ["--domain", domain])
        rendered = self._add(f"benchmark{suffix}", [*RENDER, *people])
        read = [*PYTHON, "-m", "dataset_builders.benchmarks", "cuhk-pedes", "--source", rendered, "--allow-partial"]
        return self._add(f"cuhk-pedes{suffix}", read, rendered)

    def dataset(self, dataset):
        """The folder of a :class:`unipt_train.studies.experiments.Dataset`."""
        size = "" if dataset.images == type(dataset)("").images else f"-{dataset.images}"
        people = ["--identities", dataset.images // UNLABELLED_VIEWS, "--views", UNLABELLED_VIEWS]
        people += ["--seed", 1000 + self.seed, "--layout", "images"]
        images = self._add(f"unlabelled{size}", [*RENDER, *people])
        build = [*PYTHON, "-m", "dataset_builders.luperson_t", "--images", images / "images"]
        build += ["--scorer", "unipt/clip-tiny", "--recipe", dataset.recipe, "--seed", self.seed]
        build += ["--captions-per-image", CAPTIONS]
        return self._add(f"luperson-t-{dataset.name}", build, images)

    def vocabulary(self, recipe, templates):
        """The folder of a vocabulary whose recipe has so many templates."""
        fewer = [*PYTHON, "train/studies/fewer_templates.py", "--recipe", recipe, "--seed", self.seed]
        return self._add(f"vocabulary-{templates}", [*fewer, "--templates", templates])

    def pretrained(self, model, steps=None):
        """The folder of a :class:`unipt_train.studies.experiments.Pretrained`, or with ``steps=0`` of what its pre-training begins with."""
        data, name = self.dataset(model.dataset), model.name if steps is None else f"{model.name}-untrained"
        steps = model.steps * self.times if steps is None else steps
        options, needs = ["--dataset", data, "--max_steps", steps, *model.options], [data]
        if model.templates:
            needs.append(self.vocabulary(model.dataset.recipe, model.templates))
            options += ["--attributes", needs[-1] / "vocabulary.yaml"]
        return self._train("pretrain", name, f"pretrain_tiny_{model.config}", options, *needs)

    def model(self, model):
        """The folder of a :class:`unipt_train.studies.experiments.Pretrained` or :class:`unipt_train.studies.experiments.Finetuned`."""
        if not isinstance(model, Finetuned):
            return self.pretrained(model)
        data, start = self.benchmark(model.domain), self.start(model)
        options = ["--model", start, "--dataset", data, "--max_steps", FINETUNING, *model.options]
        return self._train("finetune", model.name, "finetune_tiny", options, data, start)

    def start(self, model):
        """The folder of what a :class:`unipt_train.studies.experiments.Finetuned` is fine-tuned from."""
        if len(model.person) == 2:
            return self.pretrained(model.start)
        untrained = self.pretrained(model.start, steps=0)
        if not model.person:
            return untrained
        folders = {"vision": untrained, "text": untrained, model.person[0]: self.pretrained(model.start)}
        mix = [*PYTHON, "train/studies/mix_encoders.py", "--vision", folders["vision"], "--text", folders["text"]]
        return self._add(f"{model.start.name}-{model.person[0]}", mix, *folders.values())

    def result(self, run):
        """The JSON file of a :class:`unipt_train.studies.experiments.Run`'s evaluation."""
        data, model = self.benchmark(run.domain), self.model(run.model)
        name = model.name + ("" if run.domain == "street" else f"-on-{run.domain}") + ".json"
        measure = [*PYTHON, "train/evaluate_retrieval.py", "--dataset", data, "--model", model]
        return self._add(name, measure, data, model)


def jobs_of(experiments, work, times=1):
    """The :class:`unipt_train.studies.jobs.Job` of all runs, each once, after what it needs; ``times`` as in :class:`SeedJobs`."""
    by_seed = {}
    for experiment in experiments.values():
        for seed in experiment.seeds:
            for run in experiment.runs:
                by_seed.setdefault(seed, SeedJobs(seed, work, times)).result(run)
    return [job for jobs in by_seed.values() for job in jobs.jobs.values()]


def result_of(run, seed, work):
    """The numbers of a run's evaluation, or None while it is not there."""
    path = SeedJobs(seed, work).result(run)
    if not path.exists():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))[0]
    return {name: value for name, value in record.items() if isinstance(value, int | float)}
