"""Losses written out with loops, and how a loss is compared with one."""

import torch


def cosine(a, b):
    return torch.dot(a, b) / (a.dot(a).sqrt() * b.dot(b).sqrt())


def semi_hard_hinges(texts, images, person, margin):
    """For each pair and direction the list of all hinges of equation 5 between 0 and the margin."""
    found = []
    for n in range(len(texts)):
        positive = cosine(images[n], texts[n])
        others = [m for m in range(len(texts)) if person[m] != person[n]]
        for row in ([cosine(images[n], texts[m]) for m in others], [cosine(images[m], texts[n]) for m in others]):
            hinges = [margin - positive + negative for negative in row]
            found.append([hinge for hinge in hinges if 0 < hinge < margin])
    return found


def same_loss_and_gradient(loss, naive, inputs):
    """Assert that two losses and their gradients by ``inputs`` are equal, and that there is a gradient at all."""
    torch.testing.assert_close(loss, naive, rtol=1e-10, atol=1e-12)
    gradients = [torch.autograd.grad(value, inputs) for value in (loss, naive)]
    torch.testing.assert_close(*gradients, rtol=1e-8, atol=1e-12)
    assert max(gradient.abs().max() for gradient in gradients[0]) > 0
