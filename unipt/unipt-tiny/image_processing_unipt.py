"""Images of people to UniPT's pixel values."""

from typing import Any

from transformers.image_processing_backends import PilBackend
from transformers.image_utils import IMAGENET_STANDARD_MEAN, IMAGENET_STANDARD_STD, PILImageResampling


class UniPTImageProcessor(PilBackend):
    """Makes images RGB, resizes them without keeping the aspect ratio (bicubic), and scales them to -1 .. 1.

    Person crops are tall, so the default size is 384 x 128, the paper's input. Images may have any mode of Pillow.
    A call returns ``pixel_values`` of shape (batch, 3, height, width).
    """

    resample = PILImageResampling.BICUBIC
    image_mean = IMAGENET_STANDARD_MEAN
    image_std = IMAGENET_STANDARD_STD
    size = {"height": 384, "width": 128}
    do_convert_rgb = True
    do_resize = True
    do_rescale = True
    do_normalize = True

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


UniPTImageProcessor.register_for_auto_class("AutoImageProcessor")

__all__ = ["UniPTImageProcessor"]
