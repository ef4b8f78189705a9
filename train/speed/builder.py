"""LUPerson-T's builder against the bare vision tower, and against the transformers pipeline; a part of `make bench`.

The builder is the command `python -m dataset_builders.luperson_t`, from PNG and JPEG files to Parquet shards: reading,
hashing, scoring, captions and their scores. Its start (loading the scorer, embedding the prompts: once a process) and
its end (near-duplicates, statistics, figures, card: once a dataset) are measured apart. The bare vision tower gets
ready tensors of the same batch size and precision, and as many threads as the builder has cores. The pipeline gets all
prompts of the vocabulary in one call, so that it embeds each image once.
"""

import contextlib
import io
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import torch
from PIL import Image
from transformers import (
    AutoModel,
    AutoTokenizer,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    pipeline,
)

from dataset_builders.divide.reading import load_vocabulary
from dataset_builders.luperson_t import build as luperson_t_build
from dataset_builders.luperson_t.__main__ import main as build_luperson_t
from unipt_train.speed.figures import Figure
from unipt_train.studies.commands import RELEASED_SCORER, ROOT

TINY = ROOT / RELEASED_SCORER
RECIPES = ("paper", "best")
FEW = 2_000
MANY = 20_000
# ru_maxrss counts bytes on macOS and KiB on Linux; this many make a MiB.
MAXRSS_OF_A_MIB = 2**20 if sys.platform == "darwin" else 2**10
# A small process that starts a command and prints its exit status, its peak memory and its seconds.
CHILD = """
import json, resource, subprocess, sys, time
begun = time.perf_counter()
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
print(json.dumps([status, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, time.perf_counter() - begun]))
"""


@dataclass(frozen=True)
class Case:
    """A scorer and how much of it is measured.

    Attributes:
        scorer: its folder.
        images: images of a build by the recipe `paper`.
        best_images: images of a build by the recipe `best`.
        batch: images of a forward pass.
        repetitions: builds by each recipe.
        pipeline_images: images that the pipeline classifies.
        least: the least ratio of the builder's vision passes to those of the bare tower.
    """

    name: str
    scorer: Path
    images: int
    best_images: int
    batch: int
    repetitions: int
    pipeline_images: int
    least: float


@dataclass(frozen=True)
class Build:
    """What one build took.

    Attributes:
        start: seconds of loading the scorer and embedding the prompts.
        describing: seconds of describing the images.
        end: seconds of what comes when all shards are there.
        passes: vision passes for each image.
    """

    start: float
    describing: float
    end: float
    passes: int


def sample_images() -> Iterator[Image.Image]:
    """The images of the sample dataset, in RGB."""
    for shard in sorted((ROOT / "luperson-t" / "data").glob("*.parquet")):
        for image in parquet.read_table(shard, columns=["image"])["image"].to_pylist():
            yield Image.open(io.BytesIO(image["bytes"])).convert("RGB")


def write_crops(folder: Path, count: int) -> Path:
    """Fill ``folder`` with ``count`` images of the sample dataset, PNG and JPEG in turn."""
    folder.mkdir()
    for number, image in enumerate(itertools.islice(itertools.cycle(sample_images()), count)):
        suffix = "jpg" if number % 2 else "png"
        image.save(folder / f"{number:05d}.{suffix}", quality=90)
    return folder


def write_small_crops(folder: Path, count: int) -> Path:
    """Fill ``folder`` with ``count`` images of 96 x 32 pixels, random parts of those of the sample dataset."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    people = list(sample_images())
    for number in range(count):
        image = people[number % len(people)]
        # Two thirds of each side, so that no two images are alike.
        left, top = rng.uniform(0, 1 / 3, 2) * image.size
        box = (left, top, left + image.width * 2 / 3, top + image.height * 2 / 3)
        image.resize((32, 96), Image.Resampling.BILINEAR, box).save(folder / f"{number:05d}.jpg", quality=85)
    return folder


def write_vit_b16(folder: Path) -> Path:
    """Write a CLIP of the size of openai/clip-vit-base-patch16 with random weights, and clip-tiny's tokenizer.

    That tokenizer has fewer words, so captions have more tokens than CLIP's own would make of them.
    """
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    text = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    CLIPModel(CLIPConfig(text_config=text, vision_config={"patch_size": 16})).save_pretrained(folder)
    CLIPProcessor(image_processor=CLIPImageProcessor(), tokenizer=tokenizer).save_pretrained(folder)
    return folder


@contextlib.contextmanager
def stopwatch(module: ModuleType, name: str, taken: dict[str, tuple[float, Any]]) -> Iterator[None]:
    """Put the seconds that the function ``module.name`` takes, and its result, into ``taken[name]``."""
    function = getattr(module, name)

    def timed(*arguments: Any) -> Any:
        begun = time.perf_counter()
        result = function(*arguments)
        taken[name] = (time.perf_counter() - begun, result)
        return result

    setattr(module, name, timed)
    try:
        yield
    finally:
        setattr(module, name, function)


def build(case: Case, images: Path, output: Path, recipe: str) -> Build:
    """Build LUPerson-T from the folder ``images`` in this process."""
    taken: dict[str, tuple[float, Any]] = {}
    # The builder gives each batch one thread; the bare tower needs them back.
    threads = torch.get_num_threads()
    options = ["--images", str(images), "--scorer", str(case.scorer), "--output", str(output)]
    options += ["--recipe", recipe, "--batch-size", str(case.batch)]
    with contextlib.ExitStack() as stack:
        for name in ("prepare", "describe_shards", "finish"):
            stack.enter_context(stopwatch(luperson_t_build, name, taken))
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        build_luperson_t(options)
    torch.set_num_threads(threads)
    start, tools = taken["prepare"]
    return Build(start, taken["describe_shards"][0], taken["finish"][0], tools.recipe.passes)


class VisionTower:
    """The bare vision tower of a case's scorer, and ready tensors for it."""

    def __init__(self, case: Case) -> None:
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = AutoModel.from_pretrained(case.scorer, dtype=torch.float32).eval().to(self.device)
        size = self.model.config.vision_config.image_size
        shape = (case.batch, 3, size, size)
        # As many as the images need, rounded up.
        count = -(-case.images // case.batch)
        self.batches = [torch.randn(shape, device=self.device) for _ in range(count)]

    def rate(self) -> float:
        """Images a second."""
        begun = time.perf_counter()
        with torch.inference_mode():
            for batch in self.batches:
                embeds = self.model.get_image_features(pixel_values=batch).pooler_output
            # Copying waits for a GPU, which works on after the calls have returned.
            embeds.cpu()
        return sum(map(len, self.batches)) / (time.perf_counter() - begun)


def pipeline_rate(case: Case, images: Path) -> float:
    """Images a second of transformers' zero-shot image classification, without its start."""
    prompts = []
    for attribute in load_vocabulary().attributes.values():
        prompts += [choice.prompt for choice in attribute.choices]
    device = 0 if torch.cuda.is_available() else "cpu"
    classify = pipeline("zero-shot-image-classification", model=str(case.scorer), device=device)
    some = [str(path) for path in sorted(images.iterdir())[: case.pipeline_images]]
    begun = time.perf_counter()
    for path in some:
        classify(path, candidate_labels=prompts, hypothesis_template="{}")
    return len(some) / (time.perf_counter() - begun)


def measure_case(case: Case, folder: Path) -> list[Figure]:
    """The figures of one scorer; each build stands between two measurements of the bare tower."""
    counts = {"paper": case.images, "best": case.best_images}
    crops = {recipe: write_crops(folder / f"{case.name}-crops-{recipe}", count) for recipe, count in counts.items()}
    tower = VisionTower(case)
    # The first round only fills caches.
    tower.rate()
    bare = [tower.rate()]
    rates: dict[str, list[float]] = {recipe: [] for recipe in RECIPES}
    ratios: dict[str, list[float]] = {recipe: [] for recipe in RECIPES}
    last = {}
    for repetition in range(case.repetitions):
        for recipe in RECIPES:
            built = build(case, crops[recipe], folder / f"{case.name}-{recipe}-{repetition}", recipe)
            bare.append(tower.rate())
            rate = counts[recipe] / built.describing
            rates[recipe].append(rate)
            ratios[recipe].append(built.passes * rate / statistics.mean(bare[-2:]))
            last[recipe] = built
    figures = [Figure(f"{case.name}: bare vision tower", statistics.median(bare), "images/s")]
    for recipe, built in last.items():
        name = f"{case.name}, recipe {recipe}"
        ratio = statistics.median(ratios[recipe])
        figures += [
            Figure(f"{name}: builder", statistics.median(rates[recipe]), "images/s"),
            Figure(f"{name}: vision passes an image", built.passes),
            Figure(f"{name}: passes a second / bare tower", ratio, at_least=case.least),
            Figure(f"{name}: start", built.start, "s"),
            Figure(f"{name}: end", built.end, "s"),
        ]
    rate = pipeline_rate(case, crops["paper"])
    figures.append(Figure(f"{case.name}: zero-shot-image-classification pipeline", rate, "images/s"))
    ratio = statistics.median(rates["paper"]) / rate
    return [*figures, Figure(f"{case.name}, recipe paper: builder / pipeline", ratio, at_least=20)]


def whole_command(images: Path, output: Path) -> tuple[float, float]:
    """Run the builder's command, recipe `paper`, with clip-tiny; return its peak memory in MiB and its seconds.

    It runs below a small process of its own: to Linux a process begins as large as the one that started it.

    Raises:
        RuntimeError: the builder failed.
    """
    command = [sys.executable, "-m", "dataset_builders.luperson_t", "--images", images, "--scorer", TINY]
    command += ["--output", output]
    finished = subprocess.run(
        [sys.executable, "-c", CHILD, *map(str, command)], cwd=ROOT, check=True, capture_output=True, text=True
    )
    status, peak, seconds = json.loads(finished.stdout)
    if status:
        raise RuntimeError(f"the builder failed with exit status {status}")
    return peak / MAXRSS_OF_A_MIB, seconds


def measure_memory(folder: Path) -> list[Figure]:
    """Peak memory, and the speed of the whole command, of few images and of many."""
    images = write_small_crops(folder / "small", MANY)
    few = folder / "few"
    few.mkdir()
    for path in sorted(images.iterdir())[:FEW]:
        os.link(path, few / path.name)
    low, short = whole_command(few, folder / "of-few")
    high, long = whole_command(images, folder / "of-many")
    return [
        Figure(f"whole command, {FEW:,} images: peak memory", low, "MiB"),
        Figure(f"whole command, {MANY:,} images: peak memory", high, "MiB"),
        Figure("ratio of the two", high / low, at_most=1.1),
        Figure("whole command, each further image", 1000 * (long - short) / (MANY - FEW), "ms"),
    ]


def measure(folder: Path) -> Iterator[Figure]:
    """Measure clip-tiny, a CLIP of the usual size, and memory.

    Args:
        folder: an empty one to work in.
    """
    # So many batches are scored at once.
    _, lanes = luperson_t_build.place(0)
    vit_b16 = write_vit_b16(folder / "vit-b16")
    cases = [
        Case("clip-tiny", TINY, 1_024, 512, batch=64, repetitions=3, pipeline_images=8, least=0.5),
        Case("ViT-B-16", vit_b16, 24 * lanes, 8 * lanes, batch=8, repetitions=1, pipeline_images=2, least=0.85),
    ]
    for case in cases:
        yield from measure_case(case, folder)
    yield from measure_memory(folder)
