"""Fitting a calibration to what a scorer says of labelled images: temperature, prior, views, thresholds."""

import numpy as np
import torch

from ..divide.vocabulary import WHOLE
from .calibration import REGION, AttributeCalibration, Slot

PULL = 1e-4  # towards even priors and weights and temperature 1, so that few or useless images have a solution, too
MIN_GAIN = 0.01  # nats by which a crop, which costs a pass, or an ensemble must lower the log-loss of other images


def fit_attribute(attribute, views, logits_of, truth):
    """The temperature, prior and weights of the views that make the truth most likely; thresholds are not set yet.

    Which prompts to take, and whether the attribute's region is worth a look, is decided on the half of the images that
    the numbers were not fitted on.

    Args:
        views: list of the views to weigh, beside the attribute's region.
        logits_of: function of (view, prompts) that gives a (N, number of choices) float32 tensor.
        truth: list of N dicts, flat field -> value or None.
    Returns:
        (:class:`dataset_builders.conquer.calibration.AttributeCalibration`, its thresholds 0; log-loss of the other half)
    """
    right = {
        field: torch.tensor([[value == known[field] for value in values] for known in truth])
        for field, values in attribute.slots.items()
    }
    even = torch.arange(len(truth)) % 2 == 0
    best = None
    for prompts in ("first", "all"):
        for region in (False, True) if attribute.region != WHOLE else (False,):
            looked_at = [*views, *([REGION] if region else [])]
            logits = torch.stack([logits_of(view, prompts) for view in looked_at])
            loss = 0.0
            for part in (even, ~even):
                fitted = _fit(attribute, logits[:, part], {field: table[part] for field, table in right.items()})
                with torch.no_grad():
                    others = {field: table[~part] for field, table in right.items()}
                    loss += float(_loss(attribute, logits[:, ~part], others, fitted)) / 2
            if best is None or loss < best[0] - MIN_GAIN:
                best = loss, prompts, looked_at, logits
    loss, prompts, looked_at, logits = best
    weights, temperatures, priors = _numbers(_fit(attribute, logits, right))
    slots = {field: Slot(temperatures[field], priors[field], 0.0) for field in attribute.slots}
    return AttributeCalibration(prompts, dict(zip(looked_at, weights, strict=True)), slots), loss


def _fit(attribute, logits, right, steps=60):
    """The parameters, a dict of tensors, that minimise the loss."""
    parameters = {"views": torch.zeros(len(logits), requires_grad=True)}
    for field, values in attribute.slots.items():
        parameters[f"temperature of {field}"] = torch.zeros((), requires_grad=True)
        parameters[f"prior of {field}"] = torch.zeros(len(values), requires_grad=True)
    optimizer = torch.optim.LBFGS(list(parameters.values()), max_iter=steps, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        pull = sum((value**2).sum() for value in parameters.values())
        loss = _loss(attribute, logits, right, parameters) + PULL * pull
        loss.backward()
        return loss

    optimizer.step(closure)
    return parameters


def _loss(attribute, logits, right, parameters):
    """Mean over the images of -log of the probability of what is true, summed over the attribute's fields."""
    own = torch.einsum("v,vnc->nc", parameters["views"].softmax(0), logits).log_softmax(1)
    loss = 0.0
    for field, table in right.items():
        scaled = _of_field(attribute, own, field) * torch.exp(-parameters[f"temperature of {field}"].clamp(-5, 5))
        made = (scaled + parameters[f"prior of {field}"]).log_softmax(1)
        loss = loss - made.masked_fill(~table, -1e4).logsumexp(1).mean()
    return loss


def _of_field(attribute, log_probabilities, field):
    """(N, number of the field's values) log of the marginal probabilities."""
    if not attribute.parts:
        return log_probabilities
    sizes = [len(values) for values in attribute.parts.values()]
    axis = list(attribute.part_fields.values()).index(field) + 1
    others = tuple(other for other in range(1, len(sizes) + 1) if other != axis)
    table = log_probabilities.reshape(-1, *sizes)
    return table.logsumexp(others) if others else table


def _numbers(parameters):
    """(weights of the views, field -> temperature, field -> prior) of fitted parameters."""
    plain = {name: value.detach().double() for name, value in parameters.items()}
    of = lambda kind: {name.removeprefix(f"{kind} of "): v for name, v in plain.items() if name.startswith(kind)}  # noqa: E731
    return (
        plain["views"].softmax(0).tolist(),
        {field: float(value.clamp(-5, 5).exp()) for field, value in of("temperature").items()},
        {field: tuple(value.softmax(0).tolist()) for field, value in of("prior").items()},
    )


def choose_threshold(confidences, right, most_false, least_true):
    """One threshold for all fields: where probabilities can be trusted, it gives the most true statements for a share
    of false ones.

    Of the thresholds with at most ``most_false``, a share of the statements, and at least ``least_true`` true ones the
    one in the middle, since other images will be a little harder or easier; where there is none, the lowest with at
    most ``most_false``.

    Args:
        confidences, right: (N,) arrays, the probability of each possible statement and whether it is true; what is more
            probable than the threshold is stated.
    Returns:
        A number; 1.0 where no threshold will do.
    """
    order = np.argsort(-confidences, kind="stable")
    confidences, true = confidences[order], np.cumsum(right[order])
    share = 1 - true / np.arange(1, len(order) + 1)
    # a threshold lies between two different confidences
    possible = np.append(confidences[1:] < confidences[:-1], True)
    few_false = np.flatnonzero(possible & (share <= most_false))
    if not len(few_false):
        return 1.0
    both = few_false[true[few_false] >= least_true]
    last = both[len(both) // 2] if len(both) else few_false[-1]
    return float(confidences[last + 1]) if last + 1 < len(order) else 0.0
