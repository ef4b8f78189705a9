"""LUPerson-T's builder against the bare vision tower, and against the transformers pipeline; a part of `make bench`.

The builder is `dataset_builders.luperson_t.main` itself, from PNG and JPEG files to Parquet shards: reading, hashing,
scoring, captions and their scores. Left out, and told apart, are its start (loading the scorer, embedding the prompts:
once a process) and its end (near-duplicates, statistics, pictures, card: once a dataset). The bare vision tower gets
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
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unipt_train.speed.figures import Figure
from unipt_train.studies.commands import ROOT

TINY = ROOT / "unipt" / "clip-tiny"
RECIPES = ("paper", "best")
FEW, MANY = 2_000, 20_000
MIB = 2**20 if sys.platform == "darwin" else 2**10  # units of ru_maxrss in one MiB
CHILD = """
import json, resource, subprocess, sys, time
begun = time.perf_counter()
status = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
print(json.dumps([status, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, time.perf_counter() - begun]))
"""


@dataclass(frozen=True)
class Case:
    """A scorer and how much of it is measured: images of a build by each recipe and of the pipeline, repetitions, the
    least ratio."""

    name: str
    scorer: Path
    images: int
    best_images: int
    batch: int
    repetitions: int
    pipeline_images: int
    least: float


def sample_images():
    """The pictures of the sample dataset as ``PIL.Image``."""
    import pyarrow.parquet as parquet
    from PIL import Image

    for shard in sorted((ROOT / "luperson-t" / "data").glob("*.parquet")):
        for row in parquet.read_table(shard, columns=["image"])["image"].to_pylist():
            yield Image.open(io.BytesIO(row["bytes"])).convert("RGB")


def write_crops(folder, count):
    """``count`` pictures of the sample dataset, PNG and JPEG in turn."""
    folder.mkdir()
    for number, image in enumerate(itertools.islice(itertools.cycle(sample_images()), count)):
        image.save(folder / f"{number:05d}.{('png', 'jpg')[number % 2]}", quality=90)
    return folder


def write_small_crops(folder, count):
    """``count`` pictures of 96 x 32, random parts of those of the sample dataset."""
    from PIL import Image

    folder.mkdir()
    rng, people = np.random.default_rng(0), list(sample_images())
    for number in range(count):
        image = people[number % len(people)]
        left, top = rng.uniform(0, 1 / 3, 2) * image.size
        box = (left, top, left + image.width * 2 / 3, top + image.height * 2 / 3)
        image.resize((32, 96), Image.Resampling.BILINEAR, box).save(folder / f"{number:05d}.jpg", quality=85)
    return folder


def write_vit_b16(folder):
    """A CLIP of the size of openai/clip-vit-base-patch16 with random weights, and clip-tiny's tokenizer.

    That one has fewer words, so that captions have more tokens than CLIP's own tokenizer makes of them.
    """
    from transformers import AutoTokenizer, CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

    tokenizer = AutoTokenizer.from_pretrained(TINY)
    text = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    CLIPModel(CLIPConfig(text_config=text, vision_config={"patch_size": 16})).save_pretrained(folder)
    CLIPProcessor(image_processor=CLIPImageProcessor(), tokenizer=tokenizer).save_pretrained(folder)
    return folder


@contextlib.contextmanager
def stopwatch(module, name, taken):
    """Put the seconds that the function ``module.name`` takes, and its result, into ``taken[name]``."""
    function = getattr(module, name)

    def timed(*arguments):
        begun = time.perf_counter()
        result = function(*arguments)
        taken[name] = (time.perf_counter() - begun, result)
        return result

    setattr(module, name, timed)
    try:
        yield
    finally:
        setattr(module, name, function)


def build(case, images, output, recipe):
    """(seconds of the start, of describing the images, of the end; vision passes an image) of one build."""
    import torch

    from dataset_builders.luperson_t import build as luperson_t
    from dataset_builders.luperson_t import finish as luperson_t_finish

    taken, threads = {}, torch.get_num_threads()
    with contextlib.ExitStack() as stack:
        stack.enter_context(stopwatch(luperson_t, "prepare", taken))
        stack.enter_context(stopwatch(luperson_t, "describe_shards", taken))
        stack.enter_context(stopwatch(luperson_t_finish, "finish", taken))
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
        luperson_t.main(
            ["--images", str(images), "--scorer", str(case.scorer), "--output", str(output), "--recipe", recipe]
            + ["--batch-size", str(case.batch)]
        )
    torch.set_num_threads(threads)
    (start, tools), (describing, _), (end, _) = taken.values()
    return start, describing, end, tools.recipe.passes


class VisionTower:
    """The bare vision tower of a case's scorer, and ready tensors for it."""

    def __init__(self, case):
        import torch
        from transformers import AutoModel

        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = AutoModel.from_pretrained(case.scorer, dtype=torch.float32).eval().to(self.device)
        size = self.model.config.vision_config.image_size
        shape = (case.batch, 3, size, size)
        self.batches = [torch.randn(shape, device=self.device) for _ in range(-(-case.images // case.batch))]

    def rate(self):
        """Images a second."""
        import torch

        begun = time.perf_counter()
        with torch.inference_mode():
            for batch in self.batches:
                embeds = self.model.get_image_features(pixel_values=batch).pooler_output
            embeds.cpu()  # waits for a GPU
        return sum(map(len, self.batches)) / (time.perf_counter() - begun)


def pipeline_rate(case, images):
    """Images a second of transformers' zero-shot image classification, its start left out."""
    import torch
    from transformers import pipeline

    from dataset_builders.divide.reading import load_vocabulary

    prompts = [choice.prompt for a in load_vocabulary().attributes.values() for choice in a.choices]
    device = 0 if torch.cuda.is_available() else "cpu"
    classify = pipeline("zero-shot-image-classification", model=str(case.scorer), device=device)
    some = [str(path) for path in sorted(images.iterdir())[: case.pipeline_images]]
    begun = time.perf_counter()
    for path in some:
        classify(path, candidate_labels=prompts, hypothesis_template="{}")
    return len(some) / (time.perf_counter() - begun)


def measure_case(case, folder):
    """The figures of one scorer; each build stands between two measurements of the bare tower."""
    counts = {"paper": case.images, "best": case.best_images}
    crops = {recipe: write_crops(folder / f"{case.name}-crops-{recipe}", count) for recipe, count in counts.items()}
    tower = VisionTower(case)
    tower.rate()  # warm
    bare, told = [tower.rate()], {}
    rates, ratios = ({recipe: [] for recipe in RECIPES} for _ in range(2))
    for repetition in range(case.repetitions):
        for recipe in RECIPES:
            output = folder / f"{case.name}-{recipe}-{repetition}"
            start, describing, end, passes = build(case, crops[recipe], output, recipe)
            bare.append(tower.rate())
            rates[recipe].append(counts[recipe] / describing)
            told[recipe] = (start, end, passes)
            ratios[recipe].append(passes * rates[recipe][-1] / statistics.mean(bare[-2:]))
    figures = [Figure(f"{case.name}: bare vision tower", statistics.median(bare), "images/s")]
    for recipe, (start, end, passes) in told.items():
        name = f"{case.name}, recipe {recipe}"
        ratio = statistics.median(ratios[recipe])
        figures += [
            Figure(f"{name}: builder", statistics.median(rates[recipe]), "images/s"),
            Figure(f"{name}: vision passes an image", passes, ""),
            Figure(f"{name}: passes a second / bare tower", ratio, "", at_least=case.least),
            Figure(f"{name}: start", start, "s"),
            Figure(f"{name}: end", end, "s"),
        ]
    rate = pipeline_rate(case, crops["paper"])
    figures.append(Figure(f"{case.name}: zero-shot-image-classification pipeline", rate, "images/s"))
    ratio = statistics.median(rates["paper"]) / rate
    return [*figures, Figure(f"{case.name}, recipe paper: builder / pipeline", ratio, "", at_least=20)]


def whole_command(images, output):
    """(peak memory in MiB, seconds) of the builder's command, recipe paper, with clip-tiny.

    It runs below a small process of its own: to Linux a process begins as large as the one that started it.
    """
    command = [sys.executable, "-m", "dataset_builders.luperson_t", "--images", images, "--scorer", TINY]
    command += ["--output", output]
    told = subprocess.run(
        [sys.executable, "-c", CHILD, *map(str, command)], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    status, peak, seconds = json.loads(told)
    if status:
        raise RuntimeError(f"the builder failed with exit status {status}")
    return peak / MIB, seconds


def measure_memory(folder):
    """Peak memory, and the speed of the whole command, of few images and of many."""
    images = write_small_crops(folder / "small", MANY)
    few = folder / "few"
    few.mkdir()
    for path in sorted(images.iterdir())[:FEW]:
        os.link(path, few / path.name)
    (low, short), (high, long) = whole_command(few, folder / "of-few"), whole_command(images, folder / "of-many")
    return [
        Figure(f"whole command, {FEW:,} images: peak memory", low, "MiB"),
        Figure(f"whole command, {MANY:,} images: peak memory", high, "MiB"),
        Figure("ratio of the two", high / low, "", at_most=1.1),
        Figure("whole command, each further image", 1000 * (long - short) / (MANY - FEW), "ms"),
    ]


def measure(folder):
    """Yield :class:`unipt_train.speed.figures.Figure`; ``folder`` is an empty one to work in."""
    from dataset_builders.luperson_t.build import place

    _, lanes = place(0)  # so many batches are scored at once
    vit_b16 = write_vit_b16(folder / "vit-b16")
    cases = [
        Case("clip-tiny", TINY, 1_024, 512, 64, 3, 8, 0.5),
        Case("ViT-B-16", vit_b16, 24 * lanes, 8 * lanes, 8, 1, 2, 0.85),
    ]
    for case in cases:
        yield from measure_case(case, folder)
    yield from measure_memory(folder)
