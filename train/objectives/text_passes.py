"""Texts of a batch in several passes, short ones apart from long ones, so that a CPU computes less padding."""

import torch
from torch.nn import functional as F

from modeling_unipt.modeling_unipt import UniPTFeatures

PASSES, LEAST_TEXTS = 2, 8


def passes_by_length(attention_mask):
    """[(rows, length of the longest)] of each pass over a right-padded (texts, tokens) mask of at least ``LEAST_TEXTS``
    texts, shortest first."""
    lengths = attention_mask.sum(dim=1)
    passes = min(PASSES, len(lengths) // LEAST_TEXTS)
    return [(rows, int(lengths[rows].max())) for rows in lengths.argsort(stable=True).tensor_split(passes)]


def text_features(unipt, input_ids, attention_mask):
    """What ``unipt.get_text_features`` gives for right-padded texts; ``last_hidden_state`` is 0 behind their ends.

    Few texts are one pass, and all are on a GPU, where this was not measured and further kernels cost more.
    """
    if input_ids.device.type != "cpu" or len(input_ids) < 2 * LEAST_TEXTS:
        return unipt.get_text_features(input_ids, attention_mask)
    passes, length = passes_by_length(attention_mask), input_ids.shape[1]
    parts = [unipt.get_text_features(input_ids[rows, :end], attention_mask[rows, :end]) for rows, end in passes]
    place = torch.cat([rows for rows, _ in passes]).argsort()
    tokens = [
        F.pad(part.last_hidden_state, (0, 0, 0, length - end)) for part, (_, end) in zip(parts, passes, strict=True)
    ]
    return UniPTFeatures(
        last_hidden_state=torch.cat(tokens)[place],
        pooler_output=torch.cat([part.pooler_output for part in parts])[place],
        global_output=torch.cat([part.global_output for part in parts])[place],
    )
