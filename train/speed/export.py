"""The files of `unipt export`, run by onnxruntime, against torch with as many threads; a part of `make bench`."""

from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from modeling_unipt.export.towers import export_model, session, towers
from modeling_unipt.loading import load_unipt
from unipt_train.speed.figures import Figure
from unipt_train.speed.timing import in_turn
from unipt_train.studies.commands import ROOT

BATCH = 64
TOKENS = 24
REPETITIONS = 9


def measure(folder: Path) -> Iterator[Figure]:
    """Measure both encoders of the released model.

    Args:
        folder: an empty one, for the exported files.
    """
    model, processor = load_unipt(ROOT / "unipt" / "unipt-tiny")
    export_model(model, processor, folder)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(model.config.text_config.vocab_size, (BATCH, TOKENS), generator=generator)
    size = processor.image_processor.size
    inputs = {
        "text_model.onnx": (ids, torch.ones_like(ids)),
        "vision_model.onnx": (torch.randn(BATCH, 3, size["height"], size["width"], generator=generator),),
    }
    things = {"text_model.onnx": f"texts of {TOKENS} tokens", "vision_model.onnx": "images"}
    threads = torch.get_num_threads()
    yield Figure("threads of both", threads)
    for tower in towers(model, processor):
        runtime = session(folder / tower.file, threads)
        values = inputs[tower.file]
        named = {name: value.numpy() for name, value in zip(tower.axes, values, strict=True)}
        by_torch = torch.inference_mode()(tower.module)
        ways: dict[str, Callable] = {
            "torch": lambda call=by_torch, values=values: call(*values),
            "onnxruntime": lambda runtime=runtime, named=named: runtime.run(None, named),
        }
        timed = in_turn(ways, REPETITIONS)
        thing = things[tower.file]
        unit = f"{thing.split()[0]}/s"
        for name, way in timed.items():
            yield Figure(f"{thing}, {name}", BATCH / way.seconds, unit)
        ratio = timed["torch"].seconds / timed["onnxruntime"].seconds
        yield Figure(f"{thing}, onnxruntime faster than torch, times", ratio)
