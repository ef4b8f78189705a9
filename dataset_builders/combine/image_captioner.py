"""A transformers image-text-to-text model as a second writer of captions, in the same schema as the templates."""

import re
import threading
from pathlib import Path

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from modeling_unipt.captions_unipt import normal_caption
from modeling_unipt.common.stand_ins import refuse_stand_ins_of_model
from modeling_unipt.common.user_errors import UserError, first_line

# Another wording would give other captions, so it stays as it was when datasets were made with it.
PROMPT = (
    "Describe the person in this picture in one English sentence: clothes with their colours, hair, what is carried or "
    "worn, and what the person is doing. Say only what can be seen."
)
MAX_NEW_TOKENS = 80


class ImageCaptioner:
    """Describes images of people with any model that ``AutoModelForImageTextToText`` loads and that chats.

    Args:
        name_or_folder: the model, which must come with a processor that has a chat template.
        device: device of the model; None takes a GPU if there is one.

    Raises:
        UserError: nothing of that name can be loaded, or it is another kind of model.
    """

    def __init__(self, name_or_folder: Path | str, device: torch.device | str | None = None) -> None:
        device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        try:
            self.processor = AutoProcessor.from_pretrained(name_or_folder)
            self.model = AutoModelForImageTextToText.from_pretrained(name_or_folder, dtype=dtype)
        except Exception as error:  # the libraries raise many kinds for "no such model at this name"
            refuse_stand_ins_of_model(name_or_folder)
            raise UserError(
                f"captioner '{name_or_folder}' cannot be loaded as an image-text-to-text model ({first_line(error)})"
            ) from None
        if not getattr(self.processor, "chat_template", None):
            raise UserError(
                f"captioner '{name_or_folder}' has no chat template; give a model that takes an image and an "
                "instruction, such as Qwen/Qwen2.5-VL-3B-Instruct"
            )
        # A fast tokenizer that two threads use at once may raise "Already borrowed".
        self._tokenizing = threading.Lock()
        self.model.eval().to(device)
        tokenizer = self.processor.tokenizer
        # The model writes on at the right end, so padding must stand at the left.
        tokenizer.padding_side = "left"
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token

    @torch.inference_mode()
    def captions(self, images: list[Image.Image]) -> list[str]:
        """One description for each of a list of RGB images; an empty text if the model said nothing usable.

        Generation is greedy, so the same model says the same of the same image.
        """
        messages = []
        for image in images:
            content = [{"type": "image", "image": image}, {"type": "text", "text": PROMPT}]
            messages.append([{"role": "user", "content": content}])
        with self._tokenizing:
            inputs = self.processor.apply_chat_template(
                messages,
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
                processor_kwargs={"padding": True},
            )
        inputs = inputs.to(self.model.device, self.model.dtype)
        tokens = self.model.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=MAX_NEW_TOKENS,
            pad_token_id=self.processor.tokenizer.pad_token_id,
        )
        # The answer follows the tokens of the question.
        new = tokens[:, inputs["input_ids"].shape[1] :]
        return [clean(text) for text in self.processor.batch_decode(new, skip_special_tokens=True)]


def clean(text: str) -> str:
    """A model's answer as a caption: in normal form, without quotes around it, cut after its last whole sentence."""
    text = normal_caption(text).strip('"').strip()
    whole = re.match(r".*[.!?](?= |$)", text)
    return whole[0] if whole else text
