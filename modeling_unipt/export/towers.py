"""Each encoder of a UniPT model as a module of its own, its export to ONNX, and the proof that both give the same."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import onnxscript
import torch
import transformers
from torch import nn

from ..common.user_errors import UserError, first_line
from ..encoders_unipt import longest_text
from ..modeling_unipt import UniPTModel
from ..processing_unipt import MAX_TEXT_LENGTH, UniPTProcessor

# A file of protocol buffers cannot be larger than 2 GB; weights beyond this size go to a file beside it.
MOST_BYTES_INSIDE = 1_500_000_000
NOISY_LOGGERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


class TextTower(nn.Module):
    """Texts to embeddings of length 1: (texts, tokens) twice to (texts, config.embedding_dim)."""

    def __init__(self, model: UniPTModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        features = self.model.get_text_features(input_ids, attention_mask)
        return nn.functional.normalize(features.pooler_output, dim=-1)


class VisionTower(nn.Module):
    """Images to embeddings of length 1: (images, 3, height, width) to (images, config.embedding_dim)."""

    def __init__(self, model: UniPTModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(self.model.get_image_features(pixel_values).pooler_output, dim=-1)


@dataclass(frozen=True)
class Tower:
    """One encoder and what its ONNX file is made of.

    Attributes:
        file: its name.
        encoder: the kind of encoder, for messages.
        module: what is exported.
        axes: the axes of each input; a name stands for an axis of any length.
        output: name of the output.
        traced: inputs that the export follows.
        tried: other inputs, of another size, on which torch and onnxruntime are compared.
    """

    file: str
    encoder: str
    module: "TextTower | VisionTower"
    axes: dict[str, tuple[str | int, ...]]
    output: str
    traced: tuple[torch.Tensor, ...]
    tried: list[tuple[torch.Tensor, ...]]


def towers(model: UniPTModel, processor: UniPTProcessor) -> list[Tower]:
    """Both encoders of a model with random inputs for them."""
    generator = torch.Generator().manual_seed(0)
    vocabulary = model.config.text_config.vocab_size
    longest = min(MAX_TEXT_LENGTH, processor.tokenizer.model_max_length, longest_text(model.config.text_config))
    size = (3, processor.image_processor.size["height"], processor.image_processor.size["width"])

    def texts(count: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The first text is as long as the batch; the others are padded, as far as there is room."""
        ids = torch.randint(vocabulary, (count, length), generator=generator)
        lengths = torch.randint(1, length + 1, (count, 1), generator=generator)
        lengths[0] = length
        mask = torch.arange(length) < lengths
        return ids, mask.long()

    def images(count: int) -> tuple[torch.Tensor]:
        return (torch.randn(count, *size, generator=generator),)

    text = Tower(
        file="text_model.onnx",
        encoder=f"text encoder ({model.config.text_config.model_type})",
        module=TextTower(model),
        axes={"input_ids": ("batch", "length"), "attention_mask": ("batch", "length")},
        output="text_embeds",
        # An axis of length 1 would be taken for one that always has that length.
        traced=texts(2, max(2, longest // 2)),
        tried=[texts(5, longest), texts(1, max(1, longest // 3))],
    )
    vision = Tower(
        file="vision_model.onnx",
        encoder=f"image encoder ({model.config.vision_config.model_type})",
        module=VisionTower(model),
        axes={"pixel_values": ("batch", *size)},
        output="image_embeds",
        traced=images(2),
        tried=[images(3), images(1)],
    )
    return [text, vision]


def export_model(model: UniPTModel, processor: UniPTProcessor, folder: Path) -> dict[str, Any]:
    """Write both encoders and the processor to ``folder``.

    Args:
        model: in float32 on the CPU, in evaluation mode.

    Returns:
        What export.json says: files with their inputs, outputs and largest difference to torch; opset; versions.

    Raises:
        UserError: an encoder cannot be exported or run.
    """
    files = {}
    for tower in towers(model, processor):
        path = folder / tower.file
        write_onnx(tower, path)
        files[tower.file] = {
            "inputs": {name: list(axes) for name, axes in tower.axes.items()},
            "outputs": {tower.output: ["batch", model.config.embedding_dim]},
            "largest_difference": largest_difference(tower, path),
        }
    processor.save_pretrained(folder)
    opset = onnx.load(folder / "text_model.onnx", load_external_data=False).opset_import[0].version
    libraries = (torch, transformers, onnx, onnxscript, onnxruntime)
    versions = {library.__name__: str(library.__version__) for library in libraries}
    return {"files": files, "opset": opset, "versions": versions}


def write_onnx(tower: Tower, path: Path) -> None:
    """Export one encoder.

    Raises:
        UserError: torch's exporter cannot take it.
    """
    shapes = []
    for axes in tower.axes.values():
        shapes.append({number: axis for number, axis in enumerate(axes) if isinstance(axis, str)})
    size = sum(weight.nbytes for weight in tower.module.parameters())
    try:
        with _quiet_exporter(), _plain_attention(tower.module.model), torch.no_grad():
            program = torch.onnx.export(
                tower.module.eval(),
                tower.traced,
                dynamo=True,
                input_names=list(tower.axes),
                output_names=[tower.output],
                dynamic_shapes=tuple(shapes),
                verbose=False,
            )
            for node in program.model.graph.all_nodes():
                # Each node tells the lines of code that it came from, with the paths of this machine.
                node.metadata_props.clear()
            program.save(path, external_data=size > MOST_BYTES_INSIDE)
    except Exception as error:
        # Errors of many kinds, the last one of which tells only that there was one before.
        cause = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise UserError(
            f"the exporter of torch {torch.__version__} cannot take this {tower.encoder}: {first_line(cause)}"
        ) from error


def session(path: Path | str, threads: int | None = None) -> onnxruntime.InferenceSession:
    """An ONNX file, ready to run on the CPU.

    Args:
        threads: how many it uses; by default one for each core.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if threads is not None:
        options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def largest_difference(tower: Tower, path: Path) -> float:
    """The largest difference of a number of an embedding between torch and the file, over ``tower.tried``.

    Raises:
        UserError: onnxruntime cannot run the file.
    """
    differences = []
    try:
        runtime = session(path)
        for inputs in tower.tried:
            named = {name: values.numpy() for name, values in zip(tower.axes, inputs, strict=True)}
            (found,) = runtime.run([tower.output], named)
            with torch.no_grad():
                wanted = tower.module(*inputs).numpy()
            differences.append(np.abs(found - wanted).max())
    except Exception as error:
        raise UserError(
            f"onnxruntime {onnxruntime.__version__} cannot run the exported {tower.encoder}: {first_line(error)}"
        ) from error
    # NaN must not pass as small; max of Python would lose it.
    return float(np.max(differences))


@contextmanager
def _plain_attention(model: UniPTModel) -> Iterator[None]:
    """Have the encoders compute attention step by step. The exporter cannot take torch's own function with BEiT's bias.

    The files are as fast either way.
    """
    usual = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(usual)


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Hide what the exporter says of its own parts: that torchvision is not there, what it does not simplify."""
    loggers = [logging.getLogger(name) for name in NOISY_LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
