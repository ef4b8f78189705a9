"""Images of people to UniPT's pixel values."""

from os import PathLike, fspath
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from transformers import BatchFeature
from transformers.image_processing_backends import PilBackend
from transformers.image_utils import IMAGENET_STANDARD_MEAN, IMAGENET_STANDARD_STD, PILImageResampling

# An axis of that many values may hold the channels: grey, RGB, or RGB with transparency.
CHANNELS = (1, 3, 4)


class UniPTImageProcessor(PilBackend):
    """Makes images RGB, resizes them without keeping the aspect ratio (bicubic), and scales them to -1 .. 1.

    Person crops are tall, so the default size is 384 x 128, the paper's input. A call takes one image or a list of
    images and returns ``pixel_values`` of shape (batch, 3, height, width). An image is
    - a ``PIL.Image`` of any mode,
    - the path of a file, which is turned upright if it says how the camera was held,
    - an array or tensor (height, width), or with 1, 3 or 4 channels in front or behind; a batch has one axis more. Its
      values are uint8, bool, uint16, other whole numbers from 0 to 255, or floats. Floats reach from 0 to 255 if one
      of them is above 1, and else from 0 to 1.
    """

    resample = PILImageResampling.BICUBIC
    image_mean = IMAGENET_STANDARD_MEAN
    image_std = IMAGENET_STANDARD_STD
    size = {"height": 384, "width": 128}
    do_convert_rgb = True
    do_resize = True
    do_rescale = True
    do_normalize = True

    def preprocess(self, images: Any, *args: Any, **kwargs: Any) -> BatchFeature:
        """``images`` as ``pixel_values``, see the class.

        Args:
            kwargs: options of transformers' image processors; ``input_data_format`` says where the channels are
                ("channels_first" or "channels_last"). With ``do_rescale=False`` floats from 0 to 1 stay from 0 to 1.

        Raises:
            ValueError: there is no image, or one cannot be read or understood.
        """
        layout = kwargs.pop("input_data_format", None)
        read = []
        are_scaled = []
        for image in opened(images):
            read.append(image if isinstance(image, Image.Image) else array_to_image(image, layout))
            are_scaled.append(_is_scaled(image))
        if not read:
            raise ValueError("no image is given")
        if kwargs.get("do_rescale") is False and any(are_scaled):
            if not all(are_scaled):
                raise ValueError("do_rescale=False is for images from 0 to 1, and only some of these are")
            # They were brought to 0 .. 255 for resizing, so they have to be brought back.
            kwargs["do_rescale"] = True
        return super().preprocess(read, *args, **kwargs)

    def convert_to_rgb(self, image: Any, **kwargs: Any) -> Any:
        """``image`` in RGB if it is a ``PIL.Image``; arrays and tensors stay as they are."""
        return super().convert_to_rgb(to_rgb(image) if hasattr(image, "mode") else image, **kwargs)


def to_rgb(image: Any) -> Any:
    """Any image to RGB: transparent parts become white, and 16-bit grey is scaled to 8 bits."""
    if image.mode.startswith("I"):
        # Pillow alone would clip 16-bit grey, so that almost all of it becomes white.
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        paper = image.copy()
        paper.paste("white", (0, 0, *image.size))
        paper.alpha_composite(image)
        image = paper
    return image.convert("RGB")


def array_to_image(array: Any, layout: str | None = None) -> Image.Image:
    """An array or tensor of one image as a ``PIL.Image``, see `UniPTImageProcessor`.

    Args:
        layout: "channels_first" or "channels_last"; None: the axis of 1, 3 or 4 values, if there is just one.

    Raises:
        ValueError: the axis of the channels cannot be told, or the values are none of an image.
    """
    if isinstance(array, torch.Tensor):
        array = array.detach().cpu()
        # NumPy has no bfloat16.
        array = (array.float() if array.is_floating_point() else array).numpy()
    array = _channels_last(array, layout)
    values = _bytes_of(array)
    return Image.fromarray(values[:, :, 0] if values.shape[2] == 1 else values)


def opened(images: Any) -> list[Any]:
    """Every single image of ``images`` (one, a batch, or lists of these), those of paths read from their files.

    Raises:
        ValueError: a file cannot be read, or an image is given as something else.
    """
    if isinstance(images, (list, tuple)):
        return [image for part in images for image in opened(part)]
    if isinstance(images, (np.ndarray, torch.Tensor)):
        return list(images) if images.ndim == 4 else [images]
    if isinstance(images, Image.Image):
        return [images]
    if not isinstance(images, (str, PathLike)):
        raise ValueError(
            f"an image is given as {type(images).__name__}; give a PIL image, the path of a file, an array or a tensor"
        )
    try:
        with Image.open(images) as file:
            # Upright, as the camera was held.
            return [ImageOps.exif_transpose(file)]
    except (OSError, ValueError) as error:
        raise ValueError(
            f"image file {fspath(images)} cannot be read ({error}); images are read from files here, never fetched "
            "from the network"
        ) from None


def _is_scaled(image: Any) -> bool:
    """Whether an image is made of floats from 0 to 1."""
    if isinstance(image, Image.Image):
        return False
    if isinstance(image, torch.Tensor):
        return image.is_floating_point() and bool(image.max() <= 1)
    return image.dtype.kind == "f" and bool(image.max() <= 1)


def _channels_last(array: np.ndarray, layout: str | None) -> np.ndarray:
    """(height, width, channels)."""
    shape = " x ".join(map(str, array.shape))
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise ValueError(f"an array of shape {shape} is no image; give (height, width) or three axes with the channels")
    if array.ndim == 2:
        return array[:, :, None]
    can_be_first = array.shape[0] in CHANNELS
    can_be_last = array.shape[2] in CHANNELS
    if layout is not None:
        is_first = str(getattr(layout, "value", layout)) == "channels_first"
        if not (can_be_first if is_first else can_be_last):
            raise ValueError(f"an array of shape {shape} has no axis of 1, 3 or 4 channels where {layout} says")
    elif can_be_first and can_be_last:
        raise ValueError(
            f"the channels of an array of shape {shape} may be its first or its last axis; say which by "
            'input_data_format="channels_first" or "channels_last"'
        )
    elif not can_be_first and not can_be_last:
        raise ValueError(
            f"an array of shape {shape} is no image: neither its first nor its last axis has 1, 3 or 4 values"
        )
    else:
        is_first = can_be_first
    return np.moveaxis(array, 0, 2) if is_first else array


def _bytes_of(array: np.ndarray) -> np.ndarray:
    """The values as uint8, 255 for the brightest."""
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    if array.dtype == np.uint16:
        return (array // 256).astype(np.uint8)
    if array.dtype.kind not in "iuf":
        raise ValueError(
            f"an array of {array.dtype} is no image; give whole numbers from 0 to 255 or floats from 0 to 1"
        )
    if not np.isfinite(array).all():
        raise ValueError("an image has values that are no finite numbers")
    least = array.min()
    most = array.max()
    if least < 0 or most > 255:
        raise ValueError(
            f"an image has values from {least} to {most}; give whole numbers from 0 to 255 or floats from 0 to 1, "
            "before they are normalised"
        )
    is_scaled = array.dtype.kind == "f" and most <= 1
    return np.round(array * 255 if is_scaled else array).astype(np.uint8)


UniPTImageProcessor.register_for_auto_class("AutoImageProcessor")

__all__ = ["UniPTImageProcessor"]
