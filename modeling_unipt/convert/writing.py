"""Writing a checkpoint that was read as UniPT to a folder that ``from_pretrained`` loads."""

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from ..common.stand_ins import refuse_stand_ins_of_model
from ..common.user_errors import UserError, first_line
from ..image_processing_unipt import UniPTImageProcessor
from ..modeling_unipt import UniPTForPreTraining, UniPTModel
from ..processing_unipt import UniPTProcessor
from .layouts import Layout, shown


def load_tokenizer(name: Path | str, layout: Layout) -> PreTrainedTokenizerBase:
    """The tokenizer ``name``, checked against the text encoder's vocabulary.

    Args:
        name: folder or Hub id.

    Raises:
        UserError: it cannot be loaded or has more tokens than the checkpoint.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
    except Exception as error:
        refuse_stand_ins_of_model(name)
        raise UserError(
            f"tokenizer {name} cannot be loaded, as a folder or from the Hub ({first_line(error)}); name one by "
            "--tokenizer"
        ) from None
    text = layout.config.text_config
    if len(tokenizer) > text.vocab_size:
        raise UserError(
            f"tokenizer {name} has {len(tokenizer)} tokens and the checkpoint's vocabulary {text.vocab_size}; name the "
            "one it was trained with by --tokenizer"
        )
    tokenizer.model_max_length = min(tokenizer.model_max_length, text.max_position_embeddings)
    return tokenizer


def write_model(layout: Layout, tokenizer: PreTrainedTokenizerBase, folder: Path | str) -> None:
    """Save the model and its processor to ``folder``.

    Raises:
        UserError: a tensor is missing, or its shape does not fit the others.
    """
    model_class = UniPTForPreTraining if layout.has_mlm_head else UniPTModel
    model = model_class(layout.config)
    wrong = []
    for name, tensor in model.state_dict().items():
        found = layout.weights.get(name)
        if found is None:
            wrong.append(f"{name} (missing)")
        elif found.shape != tensor.shape:
            wrong.append(f"{name} ({tuple(found.shape)}, not {tuple(tensor.shape)})")
    if wrong:
        raise UserError(f"the checkpoint does not fit its layout: {len(wrong)} tensors are wrong: {shown(wrong)}")
    model.load_state_dict(layout.weights)
    model.save_pretrained(folder)
    image_processor = UniPTImageProcessor(**layout.preprocessing)
    UniPTProcessor(image_processor, tokenizer, layout.caption_form).save_pretrained(folder)
