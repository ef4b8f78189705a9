"""The losses against formulas written out with loops, and by hand: equations 4 and 5, SDM, attributes."""

import itertools
import math

import pytest
import torch

from tests.helpers.naive_losses import cosine, same_loss_and_gradient, semi_hard_hinges
from unipt_train.objectives.losses import (
    attribute_loss,
    identification_loss,
    log_truth,
    ranking_loss,
    similarity_distribution_loss,
)


def test_identification_loss_is_log_of_identities_for_equal_logits():
    logits = torch.zeros(5, 7)
    assert identification_loss(logits, logits, torch.arange(5)).item() == pytest.approx(2 * math.log(7))


def test_identification_loss_and_its_gradient_equal_equation_4():
    torch.manual_seed(0)
    logits = [torch.randn(6, 4, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    person, naive = torch.randint(0, 4, (6,)), 0
    for n in range(6):
        for modality in logits:
            naive = naive - (modality[n, person[n]].exp() / sum(x.exp() for x in modality[n])).log() / 6
    same_loss_and_gradient(identification_loss(*logits, person), naive, logits)


def one_semi_hard_negative_each():
    """Four pairs on the unit circle; for each direction exactly one other identity lies inside the margin."""
    angle = torch.tensor([0.0, 0.5, 2.0, 2.6])
    images = torch.stack([angle.cos(), angle.sin()], dim=1)
    return images, images.roll(0), torch.tensor([0, 1, 2, 3])


def test_ranking_loss_and_its_gradient_equal_equation_5_when_the_negative_is_unique():
    images, texts, person = one_semi_hard_negative_each()
    inputs = [(2.0 * texts).double().requires_grad_(), (0.5 * images).double().requires_grad_()]
    hinges = semi_hard_hinges(*inputs, person, 0.2)
    assert max(map(len, hinges)) == 1
    naive = sum(itertools.chain.from_iterable(hinges)) / 4
    same_loss_and_gradient(ranking_loss(*inputs, person, 0.2), naive, inputs)


def test_ranking_loss_picks_one_of_the_semi_hard_negatives_at_random():
    torch.manual_seed(0)
    texts, images = torch.randn(2, 5, 3, dtype=torch.float64)
    images = texts + 0.4 * images
    person = torch.tensor([0, 1, 2, 2, 3])
    hinges = [each for each in semi_hard_hinges(texts, images, person, 0.8) if each]
    allowed = {round(sum(picked).item() / 5, 9) for picked in itertools.product(*hinges)}
    assert len(allowed) > 4
    found = {round(ranking_loss(texts, images, person, 0.8).item(), 9) for _ in range(300)}
    assert found <= allowed and len(found) > len(allowed) / 2


def test_the_picks_say_which_semi_hard_negative_is_taken():
    torch.manual_seed(0)
    texts, images = torch.randn(2, 6, 3, dtype=torch.float64)
    images, person = texts + 0.4 * images, torch.arange(6)
    hinges = semi_hard_hinges(texts, images, person, 0.8)
    assert max(map(len, hinges)) > 2
    for picks in (torch.zeros(6, 2), torch.full((6, 2), 0.999), torch.rand(6, 2)):
        taken = [each[int(pick * len(each))] for each, pick in zip(hinges, picks.flatten(), strict=True) if each]
        torch.testing.assert_close(ranking_loss(texts, images, person, 0.8, picks), sum(taken) / 6)


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


def test_similarity_distribution_loss_and_its_gradient_equal_the_formula():
    torch.manual_seed(0)
    texts, images = (torch.randn(5, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    person, naive = torch.tensor([0, 1, 0, 2, 1]), 0
    for queries, gallery in ((texts, images), (images, texts)):
        for n in range(5):
            weights = [(50 * cosine(queries[n], other)).exp() for other in gallery]
            same = (person == person[n]).tolist()
            for m in range(5):
                share = weights[m] / sum(weights)
                naive = naive + share * (share / (same[m] / sum(same) + 1e-8)).log() / 5
    same_loss_and_gradient(similarity_distribution_loss(texts, images, person), naive, [texts, images])


def test_similarity_distribution_loss_is_zero_where_similarities_are_the_identities():
    embeds = torch.eye(3)[[0, 0, 1, 2]]
    person = torch.tensor([4, 4, 7, 9])
    assert similarity_distribution_loss(embeds, embeds, person).item() == pytest.approx(0, abs=1e-6)
    assert similarity_distribution_loss(embeds, embeds.roll(1, dims=0), person).item() > 5


def test_the_probability_of_a_caption_is_the_product_over_what_it_tells():
    told = torch.tensor([[True, False, False, True, False], [False, False, False, False, True], [False] * 5])
    shown = torch.tensor([[0.9, 0.1, 0.2, 0.5, 0.3], [0.4, 0.6, 0.1, 0.1, 0.8]])
    truth = log_truth(told, shown, [2, 3]).exp()
    expected = [[0.9 * 0.5, 0.4 * 0.1], [0.3, 0.8], [1.0, 1.0]]
    torch.testing.assert_close(truth, torch.tensor(expected))


def test_no_fact_is_ruled_out_for_certain():
    told, shown = torch.tensor([[True, False]]), torch.tensor([[0.0, 1.0]])
    assert float(log_truth(told, shown, [2], floor=0.01).exp()) == pytest.approx(0.01)


def test_the_attribute_loss_by_hand():
    sizes = [2, 3]
    shown = torch.tensor([[0.25, 0.75, 0.2, 0.2, 0.6]])
    told = torch.tensor([[False, False, True, True, False]])  # two columns may mean the same value
    zeros = torch.zeros(1, 5)
    expected = (math.log(2) + math.log(3)) / 2 - math.log(2 / 3)
    assert float(attribute_loss(zeros, zeros, told, shown, sizes)) == pytest.approx(expected)
    silent = attribute_loss(zeros, zeros, torch.zeros(1, 5, dtype=torch.bool), shown, sizes)
    assert float(silent) == pytest.approx((math.log(2) + math.log(3)) / 2)
