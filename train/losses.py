"""Losses beside those of the model: identification (paper eq. 4), ranking (eq. 5), attributes."""

import torch
from torch.nn import functional as F

from modeling_unipt.modeling_unipt import scaled_cosines


def identification_loss(text_logits, image_logits, person_index):
    """L_id: cross-entropy over the training identities, summed over the two modalities (paper eq. 4).

    Args:
        text_logits, image_logits: (B, identities), from one classifier shared by both modalities.
        person_index: (B,) long.
    Returns:
        Scalar, the mean over the batch.
    """
    return F.cross_entropy(text_logits, person_index) + F.cross_entropy(image_logits, person_index)


def _semi_hard_terms(similarity, positive, different, margin):
    losses = margin - positive[:, None] + similarity
    semi_hard = different & (losses > 0) & (losses < margin)
    noise = torch.rand_like(losses).masked_fill(~semi_hard, -1.0)
    picked = losses.gather(1, noise.argmax(dim=1, keepdim=True))[:, 0]
    return torch.where(semi_hard.any(dim=1), picked, torch.zeros_like(picked))


def ranking_loss(text_embeds, image_embeds, person_index, margin=0.2):
    """L_rk: for every pair one randomly picked semi-hard negative per direction (paper eq. 5).

    A negative has another person_id and a hinge ``margin - sim(positive) + sim(negative)`` between 0 and ``margin``.
    A pair without such a negative contributes 0.

    Args:
        text_embeds, image_embeds: (B, D), row i of each is a pair; need not be normalised.
        person_index: (B,) long.
    Returns:
        Scalar, the mean over the batch. (Equation 5 is one pair's; LGUR's code sums over the batch, which with a
        batch of 64 makes ranking weigh 64 times as much against identification.)
    """
    similarity = scaled_cosines(image_embeds, text_embeds, 1.0)
    positive = similarity.diagonal()
    different = person_index[:, None] != person_index[None, :]
    image_terms = _semi_hard_terms(similarity, positive, different, margin)
    text_terms = _semi_hard_terms(similarity.T, positive, different, margin)
    return image_terms.mean() + text_terms.mean()


def attribute_loss(text_logits, image_logits, told, shown, sizes):
    """How well one classifier, shared by both modalities, reads the attributes off their embeddings.

    For images the cross-entropy to the probabilities that the dataset stores; for texts the negative log-likelihood of
    what they tell. The paper names such a loss among what it leaves open.

    Args:
        text_logits, image_logits: (N, C). told: (N, C) bool. shown: (N, C) probabilities.
        sizes: number of columns of each slot, C in all.
    Returns:
        Scalar: mean over images and slots, plus mean over the slots that texts tell.
    """
    dtype = torch.promote_types(text_logits.dtype, torch.float32)
    slots = [values.to(dtype).split(sizes, dim=1) for values in (text_logits, image_logits, told, shown)]
    of_images, of_texts, known = 0, 0, 0
    for text, image, facts, seen in zip(*slots, strict=True):
        of_images = of_images + F.cross_entropy(image, seen) / len(sizes)
        telling = facts.bool().any(dim=1)
        likelihood = text.log_softmax(dim=1).masked_fill(~facts.bool(), -torch.inf)[telling].logsumexp(dim=1)
        of_texts, known = of_texts - likelihood.sum(), known + telling.sum()
    return of_images + of_texts / known.clamp(min=1)
