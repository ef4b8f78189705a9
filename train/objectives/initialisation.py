"""Starting values with which models learn sooner from random weights."""

import torch

from modeling_unipt.modeling_unipt import UniPTModel


@torch.no_grad()
def start_from_sine_cosine_positions(position_embeddings: torch.Tensor, rows: int, columns: int) -> None:
    """Overwrite random position embeddings by two-dimensional sine-cosine ones, as plain ViTs start best from scratch.

    Args:
        position_embeddings: (..., tokens, D), D divisible by 4; its last ``rows * columns`` tokens are the patches,
            row after row. Those before, such as a class token, keep their values.
        rows, columns: of the grid of patches.
    """
    dim = position_embeddings.shape[-1]
    quarter = dim // 4
    # From 1 down to 1 / 10,000 radians a patch, as in "Attention is all you need".
    frequencies = 10000.0 ** -(torch.arange(quarter) / (quarter - 1))
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    waves = []
    for axis in (x, y):
        angles = axis.flatten()[:, None] * frequencies
        waves += [torch.sin(angles), torch.cos(angles)]
    position_embeddings[..., -rows * columns :, :] = torch.cat(waves, dim=1).to(position_embeddings)


@torch.no_grad()
def centre_embeddings(model: UniPTModel, batch: dict[str, torch.Tensor]) -> None:
    """Shift both projections so that the mean embedding of ``batch`` is zero.

    The maximum over tokens makes all embeddings of a new model point one way (cosines near 1), and losses on cosines
    then start on a plateau. A bias passes through the maximum unchanged, so subtracting the mean from it is exact.

    Args:
        model: its projections are changed in place.
        batch: has pixel_values (N, 3, H, W), input_ids (N, L) and attention_mask (N, L).
    """
    was_training = model.training
    model.eval()
    images = model.get_image_features(pixel_values=batch["pixel_values"]).pooler_output
    texts = model.get_text_features(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).pooler_output
    model.visual_projection.bias -= images.mean(dim=0)
    model.text_projection.bias -= texts.mean(dim=0)
    model.train(was_training)
