"""Identification and ranking loss (paper equations 4 and 5) against formulas written out with loops."""

import math

import pytest
import torch

from losses import identification_loss, ranking_loss


def test_identification_loss_is_log_of_identities_for_equal_logits():
    logits = torch.zeros(5, 7)
    assert identification_loss(logits, logits, torch.arange(5)).item() == pytest.approx(2 * math.log(7))


def test_identification_loss_equals_equation_4():
    torch.manual_seed(0)
    text_logits, image_logits, person = torch.randn(6, 4), torch.randn(6, 4), torch.randint(0, 4, (6,))
    naive = 0.0
    for n in range(6):
        for logits in (text_logits, image_logits):
            naive -= math.log(math.exp(logits[n, person[n]]) / sum(math.exp(x) for x in logits[n])) / 6
    assert identification_loss(text_logits, image_logits, person).item() == pytest.approx(naive, rel=1e-5)


def one_semi_hard_negative_each():
    """Four pairs on the unit circle; for each direction exactly one other identity lies inside the margin."""
    angle = torch.tensor([0.0, 0.5, 2.0, 2.6])
    images = torch.stack([angle.cos(), angle.sin()], dim=1)
    return images, images.roll(0), torch.tensor([0, 1, 2, 3])


def test_ranking_loss_equals_equation_5_when_the_negative_is_unique():
    images, texts, person = one_semi_hard_negative_each()
    similarity, margin, naive = images @ texts.T, 0.2, 0.0
    for n in range(4):
        for positive, row in ((similarity[n, n], similarity[n]), (similarity[n, n], similarity[:, n])):
            hinges = [margin - positive + row[m] for m in range(4) if m != n]
            semi_hard = [hinge.item() for hinge in hinges if 0 < hinge < margin]
            assert len(semi_hard) <= 1
            naive += sum(semi_hard) / 4
    assert naive > 0
    assert ranking_loss(texts, images, person, margin).item() == pytest.approx(naive, rel=1e-5)


def test_ranking_loss_never_takes_the_same_person_as_negative():
    images, texts, _ = one_semi_hard_negative_each()
    assert ranking_loss(texts, images, torch.zeros(4, dtype=torch.long)).item() == 0


def test_ranking_loss_picks_only_semi_hard_negatives():
    # The only negative is nearer than the positive: its hinge exceeds the margin, so it is not semi-hard.
    images = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    texts = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    assert ranking_loss(texts, images, torch.tensor([0, 1])).item() == 0


def test_ranking_loss_pulls_the_positive_and_pushes_the_negative():
    images, texts, person = one_semi_hard_negative_each()
    texts = texts.clone().requires_grad_()
    before = ranking_loss(texts, images, person)
    before.backward()
    after = ranking_loss(texts - 0.05 * texts.grad, images, person)
    assert after < before
