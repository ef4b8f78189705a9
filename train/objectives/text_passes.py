"""Texts of a batch in several passes, short ones apart from long ones, so that a CPU computes less padding."""

import torch
from torch.nn import functional as F

from modeling_unipt.modeling_unipt import UniPTFeatures, UniPTModel

# What these passes save is measured by the part `training` of `make bench`.
PASSES = 2
# Of a pass: few texts make small matrices, which a CPU multiplies less efficiently.
LEAST_TEXTS = 8


def passes_by_length(attention_mask: torch.Tensor) -> list[tuple[torch.Tensor, int]]:
    """Divide texts by length, shortest first.

    Args:
        attention_mask: (texts, tokens), padded on the right, of at least ``LEAST_TEXTS`` texts.

    Returns:
        For each pass (the rows of its texts, the length of its longest text).
    """
    lengths = attention_mask.sum(dim=1)
    passes = min(PASSES, len(lengths) // LEAST_TEXTS)
    return [(rows, int(lengths[rows].max())) for rows in lengths.argsort(stable=True).tensor_split(passes)]


def text_features(unipt: UniPTModel, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> UniPTFeatures:
    """The same numbers as ``unipt.get_text_features``, computed with less padding.

    Few texts are one pass. All texts are one pass on a GPU, where this was not measured and more kernels cost more.

    Args:
        unipt: the model whose text encoder reads.
        input_ids, attention_mask: (texts, tokens), padded on the right.

    Returns:
        Features of which ``last_hidden_state`` (texts, tokens, hidden_size) is 0 behind the ends of texts.
    """
    if input_ids.device.type != "cpu" or len(input_ids) < 2 * LEAST_TEXTS:
        return unipt.get_text_features(input_ids, attention_mask)
    passes = passes_by_length(attention_mask)
    length = input_ids.shape[1]
    parts = []
    tokens = []
    for rows, end in passes:
        part = unipt.get_text_features(input_ids[rows, :end], attention_mask[rows, :end])
        parts.append(part)
        tokens.append(F.pad(part.last_hidden_state, (0, 0, 0, length - end)))
    # The order that puts the sorted texts back into the places they came from.
    place = torch.cat([rows for rows, _ in passes]).argsort()
    return UniPTFeatures(
        last_hidden_state=torch.cat(tokens)[place],
        pooler_output=torch.cat([part.pooler_output for part in parts])[place],
        global_output=torch.cat([part.global_output for part in parts])[place],
    )
