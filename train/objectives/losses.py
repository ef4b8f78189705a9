"""Losses beside those of the model: identification (paper eq. 4), ranking (eq. 5), IRRA's SDM, attributes."""

import torch
from torch.nn import functional as F

from modeling_unipt.modeling_unipt import scaled_cosines


def identification_loss(text_logits, image_logits, person_index, reduction="mean"):
    """L_id: cross-entropy over the training identities, summed over the two modalities (paper eq. 4).

    Args:
        text_logits, image_logits: (B, identities), from one classifier shared by both modalities.
        person_index: (B,) long.
        reduction: "mean", or "none" for each pair's.
    Returns:
        Scalar, the mean over the batch; or (B,).
    """
    return sum(F.cross_entropy(logits, person_index, reduction=reduction) for logits in (text_logits, image_logits))


def _semi_hard_terms(similarity, positive, different, margin, picks):
    losses = margin - positive[:, None] + similarity
    semi_hard = different & (losses > 0) & (losses < margin)
    count = semi_hard.sum(dim=1)
    number = (picks * count).long() + 1
    picked = semi_hard & (semi_hard.cumsum(dim=1) == number[:, None])
    return (losses * picked).sum(dim=1)


def ranking_loss(text_embeds, image_embeds, person_index, margin=0.2, picks=None):
    """L_rk: for every pair one randomly picked semi-hard negative per direction (paper eq. 5).

    A negative has another person_id and a hinge ``margin - sim(positive) + sim(negative)`` between 0 and ``margin``.
    A pair without such a negative contributes 0.

    Args:
        text_embeds, image_embeds: (B, D), row i of each is a pair; need not be normalised.
        person_index: (B,) long.
        picks: (B, 2) from 0 to 1, not 1 itself: which of an image's k negatives is taken, number ``int(pick * k)``, and
            which of a text's; drawn here by default.
    Returns:
        Scalar, the mean over the batch. (Equation 5 is one pair's; LGUR's code sums over the batch, which with a
        batch of 64 makes ranking weigh 64 times as much against identification.)
    """
    similarity = scaled_cosines(image_embeds, text_embeds, 1.0)
    picks = torch.rand(len(similarity), 2, device=similarity.device) if picks is None else picks
    positive = similarity.diagonal()
    different = person_index[:, None] != person_index[None, :]
    image_terms = _semi_hard_terms(similarity, positive, different, margin, picks[:, 0])
    text_terms = _semi_hard_terms(similarity.T, positive, different, margin, picks[:, 1])
    return image_terms.mean() + text_terms.mean()


def similarity_distribution_loss(text_embeds, image_embeds, person_index, scale=50.0, epsilon=1e-8):
    """IRRA's similarity distribution matching (CVPR 2023), in place of L_rk.

    For every text the Kullback-Leibler divergence from the softmax of its scaled similarities with the images to equal
    shares of the images of its person; the same for every image with the texts.

    Args:
        text_embeds, image_embeds: (B, D), row i of each is a pair; need not be normalised.
        person_index: (B,) long.
        scale: of the cosine similarities, IRRA's 1 / 0.02.
        epsilon: added to the shares before their logarithm.
    Returns:
        Scalar, the mean over texts plus the mean over images.
    """
    similarity = scaled_cosines(text_embeds, image_embeds, scale)
    same = (person_index[:, None] == person_index[None, :]).to(similarity)
    log_shares = (same / same.sum(dim=1, keepdim=True) + epsilon).log()
    loss = 0
    for logits in (similarity, similarity.T):
        log_found = logits.log_softmax(dim=1)
        loss = loss + (log_found.exp() * (log_found - log_shares)).sum(dim=1).mean()
    return loss


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
