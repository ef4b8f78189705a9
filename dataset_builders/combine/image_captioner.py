"""A transformers image-text-to-text model as a second writer of captions, in the same schema as the templates."""

import re
import threading

import torch

from modeling_unipt.common.user_errors import UserError

PROMPT = (
    "Describe the person in this picture in one English sentence: clothes with their colours, hair, what is carried or "
    "worn, and what the person is doing. Say only what can be seen."
)
MAX_NEW_TOKENS = 80


class ImageCaptioner:
    """Describes pictures of people with any model that ``AutoModelForImageTextToText`` loads and that chats.

    Args:
        name_or_folder: of the model, which must come with a processor that has a chat template.
        device: of the model; None takes a GPU where there is one.

    Raises:
        UserError: nothing of that name can be loaded, or it is another kind of model.
    """

    def __init__(self, name_or_folder, device=None):
        from transformers import AutoModelForImageTextToText, AutoProcessor

        device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        try:
            self.processor = AutoProcessor.from_pretrained(name_or_folder)
            self.model = AutoModelForImageTextToText.from_pretrained(name_or_folder, dtype=dtype)
        except Exception as error:  # the libraries raise many kinds for "no such model at this name"
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UserError(
                f"captioner '{name_or_folder}' cannot be loaded as an image-text-to-text model ({reason})"
            ) from None
        if not getattr(self.processor, "chat_template", None):
            raise UserError(
                f"captioner '{name_or_folder}' has no chat template; give a model that takes a picture and an "
                "instruction, such as Qwen/Qwen2.5-VL-3B-Instruct"
            )
        self._tokenizing = threading.Lock()  # as in conquer.py
        self.model.eval().to(device)
        tokenizer = self.processor.tokenizer
        tokenizer.padding_side = "left"  # generation goes on at the right end
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token

    @torch.inference_mode()
    def captions(self, images):
        """One description for each of a list of RGB ``PIL.Image``; an empty text where the model said nothing usable.

        Generation is greedy, so the same model says the same of the same picture.
        """
        messages = [
            [{"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": PROMPT}]}]
            for image in images
        ]
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
        new = tokens[:, inputs["input_ids"].shape[1] :]
        return [clean(text) for text in self.processor.batch_decode(new, skip_special_tokens=True)]


def clean(text):
    """A model's answer as a caption: one line, without quotes around it, cut after its last whole sentence."""
    text = re.sub(r"\s+", " ", text).strip().strip('"').strip()
    whole = re.match(r".*[.!?](?= |$)", text)
    return whole[0] if whole else text
