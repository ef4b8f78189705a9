"""Object detectors of transformers, such as RT-DETR and YOLOS, of which the class "person" is asked for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import MODEL_FOR_OBJECT_DETECTION_MAPPING, AutoConfig, AutoImageProcessor, AutoModelForObjectDetection
from transformers.utils import logging

from ..common.user_errors import UserError, first_line
from .boxes import Detection
from .detectors import Detector
from .frames import Frame

PERSON = "person"
SHOWN_LABELS = 8


class ObjectDetector(Detector):
    """A model that ``AutoModelForObjectDetection`` loads.

    Args:
        name: folder or Hub name.
        device: of torch; by default a GPU if there is one.

    Raises:
        UserError: it cannot be loaded, is no object detector, or does not know people.
    """

    least_score = 0.5

    def __init__(self, name: str, device: str | None = None) -> None:
        self.name = name
        _refuse_what_is_no_folder(name)
        config = _read(name, "the configuration", AutoConfig.from_pretrained)
        if type(config) not in MODEL_FOR_OBJECT_DETECTION_MAPPING:
            raise UserError(
                f"{name} holds a {config.model_type} model, which detects no objects; name an object detector such as "
                "PekingU/rtdetr_r18vd or hustvl/yolos-tiny"
            )
        self.person = _label_of_people(name, config.id2label)
        self.processor = _read(name, "the image processor", AutoImageProcessor.from_pretrained, backend="pil")
        logging.disable_progress_bar()
        model, info = _read(
            name,
            "the weights",
            AutoModelForObjectDetection.from_pretrained,
            output_loading_info=True,
            use_safetensors=True,
        )
        missing = sorted(info["missing_keys"])
        if missing:
            raise UserError(f"the weights of {name} are incomplete: {len(missing)} are missing, the first {missing[0]}")
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.model = model.float().eval().to(self.device)
        self.revision = getattr(config, "_commit_hash", None)

    def settings(self) -> dict[str, Any]:
        folder = Path(self.name)
        place = str(folder.resolve()) if folder.is_dir() else self.name
        return {"detector": place, "revision": self.revision}

    @torch.inference_mode()
    def detect(self, frame: Frame) -> list[Detection]:
        image = Image.fromarray(frame.image)
        inputs = self.processor(images=image, return_tensors="pt").to(self.device)
        outputs = self.model(**inputs)
        # Threshold 0: the caller decides what score is enough.
        (found,) = self.processor.post_process_object_detection(
            outputs, threshold=0.0, target_sizes=[(image.height, image.width)]
        )
        people = found["labels"] == self.person
        scores = found["scores"][people].tolist()
        boxes = found["boxes"][people].tolist()
        return [Detection(tuple(box), score) for box, score in zip(boxes, scores, strict=True)]


def _label_of_people(name: str, labels: dict[int, str]) -> int:
    for number, label in labels.items():
        if str(label).strip().lower() == PERSON:
            return int(number)
    shown = ", ".join(str(label) for label in list(labels.values())[:SHOWN_LABELS])
    more = " and more" if len(labels) > SHOWN_LABELS else ""
    raise UserError(f"the detector {name} has no class 'person', only {shown}{more}; name one that knows people")


def _refuse_what_is_no_folder(name: str) -> None:
    """Tell what is wrong with a path; transformers would take it for a Hub name that does not exist."""
    folder = Path(name)
    looks_like_name = name.count("/") <= 1 and not name.startswith((".", "/", "~"))
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UserError(f"{name} is no detector's folder: it holds no config.json")
    elif folder.exists():
        raise UserError(f"{name} is a file; give the detector's folder")
    elif not looks_like_name:
        raise UserError(f"detector folder {name} does not exist")


def _read(name: str, what: str, from_pretrained: Callable[..., Any], **options: Any) -> Any:
    try:
        return from_pretrained(name, **options)
    except Exception as error:
        # transformers, safetensors and huggingface_hub raise errors of many kinds.
        if not Path(name).is_dir():
            raise UserError(
                f"detector {name} is neither 'hog' nor a folder here, nor could it be fetched from the Hugging Face "
                f"Hub ({first_line(error)}); check the name, the connection and HF_HUB_OFFLINE"
            ) from error
        raise UserError(f"{what} of {name} cannot be read: {first_line(error)}") from error
