"""Pictures of people to UniPT's pixel values."""

from transformers.image_processing_backends import PilBackend
from transformers.image_utils import IMAGENET_STANDARD_MEAN, IMAGENET_STANDARD_STD, PILImageResampling


class UniPTImageProcessor(PilBackend):
    """RGB, resized without keeping the aspect ratio (bicubic, 384 x 128 by default), scaled to -1 .. 1.

    Person crops are tall; ``size={"height": 384, "width": 128}`` is the paper's input. Any Pillow mode is taken.
    Returns ``pixel_values`` of shape (batch, 3, height, width).
    """

    resample = PILImageResampling.BICUBIC
    image_mean = IMAGENET_STANDARD_MEAN
    image_std = IMAGENET_STANDARD_STD
    size = {"height": 384, "width": 128}
    do_convert_rgb = True
    do_resize = True
    do_rescale = True
    do_normalize = True

    def convert_to_rgb(self, image, **kwargs):
        return super().convert_to_rgb(to_rgb(image) if hasattr(image, "mode") else image, **kwargs)


def to_rgb(image):
    """Any ``PIL.Image`` to RGB: transparency over white, 16-bit grey scaled (Pillow alone clips it to white)."""
    if image.mode.startswith("I"):
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
