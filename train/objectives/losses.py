"""Losses beside those of the model: identification (paper eq. 4), ranking (eq. 5), IRRA's SDM, attributes.

They are pure functions of embeddings, logits and ids.
"""

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from modeling_unipt.modeling_unipt import scaled_cosines

# Of IRRA's code: 1 / temperature 0.02, and what is added to shares before their logarithm.
SDM_SCALE = 50.0
SDM_EPSILON = 1e-8


def identification_loss(
    text_logits: torch.Tensor, image_logits: torch.Tensor, person_index: torch.Tensor, reduction: str = "mean"
) -> torch.Tensor:
    """L_id: cross-entropy over the training identities, summed over the two modalities (paper eq. 4).

    Args:
        text_logits, image_logits: (B, identities), from one classifier shared by both modalities.
        person_index: (B,) int64.
        reduction: "mean" over the batch, or "none".

    Returns:
        Scalar; or (B,) for "none".
    """
    of_texts = F.cross_entropy(text_logits, person_index, reduction=reduction)
    return of_texts + F.cross_entropy(image_logits, person_index, reduction=reduction)


def _semi_hard_terms(
    similarity: torch.Tensor, positive: torch.Tensor, different: torch.Tensor, margin: float, picks: torch.Tensor
) -> torch.Tensor:
    """(B,) the hinge of the picked semi-hard negative in each row of ``similarity``, 0 where a row has none."""
    hinges = margin - positive[:, None] + similarity
    semi_hard = different & (hinges > 0) & (hinges < margin)
    count = semi_hard.sum(dim=1)
    number = (picks * count).long() + 1
    # The running count numbers the negatives of a row from 1; it repeats in the columns between, hence the mask.
    picked = semi_hard & (semi_hard.cumsum(dim=1) == number[:, None])
    return (hinges * picked).sum(dim=1)


def ranking_loss(
    text_embeds: torch.Tensor,
    image_embeds: torch.Tensor,
    person_index: torch.Tensor,
    margin: float = 0.2,
    picks: torch.Tensor | None = None,
) -> torch.Tensor:
    """L_rk: for every pair one randomly picked semi-hard negative in each direction (paper eq. 5).

    A negative has another person_id and a hinge ``margin - sim(positive) + sim(negative)`` between 0 and ``margin``.
    A pair without such a negative contributes 0.

    Args:
        text_embeds, image_embeds: (B, D), row i of each is a pair; need not be normalised.
        person_index: (B,) int64.
        margin: alpha of the equation, in units of cosine similarity.
        picks: (B, 2) from 0 to 1, not 1 itself. The first column says which of an image's k negatives is taken, number
            ``int(pick * k)``, and the second which of a text's; drawn here by default.

    Returns:
        Scalar, the mean over the batch. (Equation 5 is one pair's. LGUR's code sums over the batch, which with a
        batch of 64 makes ranking weigh 64 times as much against identification.)
    """
    similarity = scaled_cosines(image_embeds, text_embeds, 1.0)
    if picks is None:
        picks = torch.rand(len(similarity), 2, device=similarity.device)
    positive = similarity.diagonal()
    different = person_index[:, None] != person_index[None, :]
    image_terms = _semi_hard_terms(similarity, positive, different, margin, picks[:, 0])
    text_terms = _semi_hard_terms(similarity.T, positive, different, margin, picks[:, 1])
    return image_terms.mean() + text_terms.mean()


def similarity_distribution_loss(
    text_embeds: torch.Tensor, image_embeds: torch.Tensor, person_index: torch.Tensor
) -> torch.Tensor:
    """IRRA's similarity distribution matching (CVPR 2023), in place of L_rk.

    For every text this is the Kullback-Leibler divergence from the softmax of its scaled similarities with the images
    to equal shares of the images of its person; the same for every image with the texts.

    Args:
        text_embeds, image_embeds: (B, D), row i of each is a pair; need not be normalised.
        person_index: (B,) int64.

    Returns:
        Scalar, the mean over texts plus the mean over images.
    """
    similarity = scaled_cosines(text_embeds, image_embeds, SDM_SCALE)
    same = (person_index[:, None] == person_index[None, :]).to(similarity)
    log_shares = (same / same.sum(dim=1, keepdim=True) + SDM_EPSILON).log()
    loss = 0
    for logits in (similarity, similarity.T):
        log_found = logits.log_softmax(dim=1)
        loss = loss + (log_found.exp() * (log_found - log_shares)).sum(dim=1).mean()
    return loss


def log_truth(told: torch.Tensor, shown: torch.Tensor, sizes: Sequence[int], floor: float = 1e-3) -> torch.Tensor:
    """Log-probability that a caption is true of an image, its facts taken as independent.

    Args:
        told: (captions, C) bool, the columns that mean what a caption tells.
        shown: (images, C) the probabilities that the dataset stores.
        sizes: number of columns of each slot, C in all.
        floor: the least probability of a fact, because no scorer is surer than that.

    Returns:
        (captions, images); 0 for a caption that tells nothing.
    """
    total = 0
    for facts, seen in zip(told.to(shown.dtype).split(sizes, dim=1), shown.split(sizes, dim=1), strict=True):
        silent = ~facts.bool().any(dim=1, keepdim=True)
        # Several columns may mean the same value; the product adds their probabilities up.
        total = total + (facts @ seen.T).clamp(floor, 1).log().masked_fill(silent, 0.0)
    return total


def attribute_loss(
    text_logits: torch.Tensor,
    image_logits: torch.Tensor,
    told: torch.Tensor,
    shown: torch.Tensor,
    sizes: Sequence[int],
) -> torch.Tensor:
    """How well one classifier, shared by both modalities, reads the attributes off their embeddings.

    For images this is the cross-entropy to the probabilities that the dataset stores, for texts the negative
    log-likelihood of what they tell. The paper names such a loss among what it leaves open.

    Args:
        text_logits, image_logits: (N, C).
        told: (N, C) bool, the columns that mean what a caption tells.
        shown: (N, C) the probabilities that the dataset stores.
        sizes: number of columns of each slot, C in all.

    Returns:
        Scalar: the mean over images and slots, plus the mean over the slots that texts tell.
    """
    dtype = torch.promote_types(text_logits.dtype, torch.float32)
    slots = [values.to(dtype).split(sizes, dim=1) for values in (text_logits, image_logits, told, shown)]
    of_images = 0
    of_texts = 0
    told_slots = 0
    for text, image, facts, seen in zip(*slots, strict=True):
        of_images = of_images + F.cross_entropy(image, seen) / len(sizes)
        means_it = facts.bool()
        telling = means_it.any(dim=1)
        # Silent rows are taken out before logsumexp: over no column at all its gradient is not a number.
        likelihood = text.log_softmax(dim=1).masked_fill(~means_it, -torch.inf)[telling].logsumexp(dim=1)
        of_texts = of_texts - likelihood.sum()
        told_slots = told_slots + telling.sum()
    return of_images + of_texts / told_slots.clamp(min=1)
