"""The commands that make and measure the models of :mod:`unipt_train.studies.experiments`, each a ``Job``."""

import json
from pathlib import Path

from unipt_train.studies.commands import (
    PYTHON,
    Command,
    build_luperson_t,
    evaluate,
    read_benchmark,
    render_benchmark,
    render_people,
)
from unipt_train.studies.demo_stages import (
    BENCHMARK,
    CAPTIONS_PER_IMAGE,
    UNLABELLED_VIEWS,
    benchmark_seed,
    unlabelled_seed,
)
from unipt_train.studies.experiments import FINETUNING, IMAGES, Dataset, Experiment, Finetuned, Pretrained, Run
from unipt_train.studies.running import Job


class SeedJobs:
    """The jobs of one seed. Each method returns an output and lists its job, after those that it needs.

    Args:
        seed: seed of people, weights and order.
        work: folder for all seeds.
        times: pre-trainings take this many times their steps. Each number needs a ``work`` of its own.

    Attributes:
        jobs: output -> its job, each once.
    """

    def __init__(self, seed: int, work: Path | str, times: int = 1) -> None:
        self.seed = seed
        self.home = Path(work) / f"seed-{seed}"
        self.times = times
        self.jobs: dict[Path, Job] = {}

    def _add(self, output: Path, command: Command, *needs: Path) -> Path:
        self.jobs.setdefault(output, Job(output, command, needs))
        return output

    def _train(self, script: str, name: str, config: str, options: Command, *needs: Path) -> Path:
        command: Command = [*PYTHON, f"train/{script}.py", "--cpu", "true"]
        command += ["--config", f"train/configs/{config}.yaml", "--seed", self.seed, *options]
        return self._add(self.home / name, [*command, "--output-dir", self.home / name], *needs)

    def benchmark(self, domain: str) -> Path:
        """The folder of the benchmark of a rendered domain, as ``load_dataset`` reads it."""
        suffix = "" if domain == "street" else f"-{domain}"
        rendered = self.home / f"benchmark{suffix}"
        seed = benchmark_seed(self.seed, domain)
        self._add(rendered, render_benchmark(rendered, seed=seed, domain=domain, **BENCHMARK))
        dataset = self.home / f"cuhk-pedes{suffix}"
        return self._add(dataset, read_benchmark(rendered, dataset), rendered)

    def dataset(self, dataset: Dataset) -> Path:
        """The folder of a dataset of image-text pairs."""
        size = "" if dataset.images == IMAGES else f"-{dataset.images}"
        people = self.home / f"unlabelled{size}"
        identities = dataset.images // UNLABELLED_VIEWS
        self._add(people, render_people(people, identities, UNLABELLED_VIEWS, unlabelled_seed(self.seed)))
        output = self.home / f"luperson-t-{dataset.name}"
        return self._add(
            output, build_luperson_t(people, output, dataset.recipe, self.seed, CAPTIONS_PER_IMAGE), people
        )

    def vocabulary(self, recipe: str, templates: int) -> Path:
        """The folder of a vocabulary whose recipe has ``templates`` templates."""
        output = self.home / f"vocabulary-{templates}"
        fewer: Command = [*PYTHON, "train/studies/fewer_templates.py", "--recipe", recipe, "--seed", self.seed]
        return self._add(output, [*fewer, "--templates", templates, "--output", output])

    def pretrained(self, model: Pretrained) -> Path:
        """The folder of a pre-trained model."""
        return self._pretrain(model, model.name, model.steps * self.times)

    def untrained(self, model: Pretrained) -> Path:
        """The folder of the model that the pre-training of ``model`` begins with."""
        return self._pretrain(model, f"{model.name}-untrained", 0)

    def _pretrain(self, model: Pretrained, name: str, steps: int) -> Path:
        data = self.dataset(model.dataset)
        options: Command = ["--dataset", data, "--max-steps", steps, *model.options]
        needs = [data]
        if model.templates:
            vocabulary = self.vocabulary(model.dataset.recipe, model.templates)
            needs.append(vocabulary)
            options += ["--attributes", vocabulary / "vocabulary.yaml"]
        return self._train("pretrain", name, f"pretrain_tiny_{model.config}", options, *needs)

    def model(self, model: Pretrained | Finetuned) -> Path:
        """The folder of a model."""
        if isinstance(model, Pretrained):
            return self.pretrained(model)
        data = self.benchmark(model.domain)
        start = self.start(model)
        options: Command = ["--model", start, "--dataset", data, "--max-steps", FINETUNING, *model.options]
        return self._train("finetune", model.name, "finetune_tiny", options, data, start)

    def start(self, model: Finetuned) -> Path:
        """The folder of the model that fine-tuning starts from."""
        if len(model.pretrained_encoders) == 2:
            return self.pretrained(model.start)
        untrained = self.untrained(model.start)
        if not model.pretrained_encoders:
            return untrained
        (encoder,) = model.pretrained_encoders
        folders = {"vision": untrained, "text": untrained} | {encoder: self.pretrained(model.start)}
        output = self.home / f"{model.start.name}-{encoder}"
        mix: Command = [*PYTHON, "train/studies/mix_encoders.py"]
        mix += ["--vision", folders["vision"], "--text", folders["text"], "--output", output]
        return self._add(output, mix, *folders.values())

    def result(self, run: Run) -> Path:
        """The JSON file of a run's evaluation."""
        data = self.benchmark(run.domain)
        model = self.model(run.model)
        suffix = "" if run.domain == "street" else f"-on-{run.domain}"
        output = self.home / f"{run.model.name}{suffix}.json"
        return self._add(output, [*evaluate(data, model), "--output", output], data, model)


def jobs_of(experiments: dict[str, Experiment], work: Path | str, times: int = 1) -> list[Job]:
    """The jobs of all runs, each once, after what it needs; for ``work`` and ``times`` see :class:`SeedJobs`."""
    by_seed: dict[int, SeedJobs] = {}
    for experiment in experiments.values():
        for seed in experiment.seeds:
            of_seed = by_seed.setdefault(seed, SeedJobs(seed, work, times))
            for run in experiment.runs:
                of_seed.result(run)
    jobs = []
    for of_seed in by_seed.values():
        jobs += of_seed.jobs.values()
    return jobs


def result_of(run: Run, seed: int, work: Path | str) -> dict[str, float] | None:
    """The numbers of a run's evaluation, or None if it has not been made."""
    path = SeedJobs(seed, work).result(run)
    if not path.exists():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))[0]
    return {name: value for name, value in record.items() if isinstance(value, int | float)}
