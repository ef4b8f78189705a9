"""Starting values with which models learn sooner from random weights."""

import torch


@torch.no_grad()
def start_from_sine_cosine_positions(position_embeddings, rows, columns):
    """Overwrite random position embeddings by two-dimensional sine-cosine ones, as plain ViTs start best from scratch.

    Args:
        position_embeddings: (..., tokens, D) tensor, D divisible by 4; its last rows * columns tokens are the patches.
    """
    dim = position_embeddings.shape[-1]
    frequencies = 10000.0 ** -(torch.arange(dim // 4) / (dim // 4 - 1))
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    waves = [wave(axis.flatten()[:, None] * frequencies) for axis in (x, y) for wave in (torch.sin, torch.cos)]
    position_embeddings[..., -rows * columns :, :] = torch.cat(waves, dim=1).to(position_embeddings)


@torch.no_grad()
def centre_embeddings(model, batch):
    """Shift both projections so that the mean embedding of ``batch`` is zero.

    The maximum over tokens makes all embeddings of a new model point one way (cosines near 1), and losses on cosines
    then start on a plateau. A bias passes through the maximum unchanged, so subtracting the mean from it is exact.

    Args:
        model: a ``UniPTModel``.
        batch: has pixel_values (N, 3, H, W), input_ids (N, L) and attention_mask (N, L).
    """
    was_training = model.training
    model.eval()
    images = model.get_image_features(pixel_values=batch["pixel_values"]).pooler_output
    texts = model.get_text_features(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).pooler_output
    model.visual_projection.bias -= images.mean(dim=0)
    model.text_projection.bias -= texts.mean(dim=0)
    model.train(was_training)
