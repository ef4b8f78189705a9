"""Fitting a calibration to what a scorer says of labelled images: temperature, prior, views, thresholds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

import numpy as np
import torch
from tqdm import tqdm

from modeling_unipt.common.user_errors import UserError
from modeling_unipt.sources.base import Source, read_batches

from ..divide.vocabulary import WHOLE, Attribute, Truth
from ..measure.reliability import Statements, most_probable, statements
from .best_recipe import Slots, ViewScorer, decide_best
from .calibration import CORNERS, MIRRORED, REGION, AttributeCalibration, Slot
from .paper_recipe import decide

# Pulls towards even priors and weights and temperature 1, so that few or useless images have a solution, too.
PULL = 1e-4
# A crop costs a pass. So a crop, or an ensemble, must lower the log-loss of other images by so many nats.
MIN_GAIN = 0.01
# Logarithms of temperatures stay between -5 and 5: without a bound they overflow if the scorer knows nothing.
MOST_LOG_TEMPERATURE = 5
# Statements may be false at most half as often as those of the paper's recipe.
FALSE_SHARE = 0.5
# Sets of views. The set that makes the truth most likely is taken for all attributes.
VIEWS = ([WHOLE, MIRRORED], [WHOLE, *CORNERS])

Prompts: TypeAlias = Literal["first", "all"]


@dataclass(frozen=True)
class Fitted:
    """A calibration and what it is worth on the images on which it was fitted.

    Attributes:
        attributes: attribute -> its calibration.
        paper: the statements of the paper's recipe, counted.
        best: the statements of the recipe `best` with this calibration, counted.
    """

    attributes: dict[str, AttributeCalibration]
    paper: Statements
    best: Statements


def embed_views(
    source: Source, views: ViewScorer, batch_size: int, workers: int
) -> tuple[list[int], dict[str, torch.Tensor]]:
    """Embed all views of the images of a source.

    Args:
        batch_size: images embedded at once.
        workers: threads that read images.

    Returns:
        (positions of the N images that can be read, view -> (N, D) embeddings on the CPU)

    Raises:
        UserError: no image can be read.
    """
    used = []
    embeds = []
    batches = read_batches(source, range(len(source)), batch_size, workers, views.pixels)
    with tqdm(total=len(source), desc="calibration", unit="image") as bar:
        for batch in batches:
            # An image that cannot be read comes as the reason, a text.
            usable = [(position, image.pixels) for position, image in batch if not isinstance(image, str)]
            bar.update(len(batch))
            if usable:
                used += [position for position, _ in usable]
                made = views.embed(np.stack([pixels for _, pixels in usable]))
                embeds.append({view: values.cpu() for view, values in made.items()})
    if not used:
        raise UserError("none of the images can be read, so there is nothing to calibrate on")
    return used, {view: torch.cat([part[view] for part in embeds]) for view in embeds[0]}


def fit_calibration(views: ViewScorer, embeds: Mapping[str, torch.Tensor], truth: Sequence[Truth]) -> Fitted:
    """Fit everything: temperatures, priors, weights of the views, prompts, and one threshold for all fields.

    Args:
        views: looks at all corners and regions.
        embeds: view -> (N, D) embeddings of N images.
        truth: what is true of each of them.
    """
    scorer = views.scorer
    vocabulary = scorer.vocabulary
    chosen = decide(scorer.probabilities_of(embeds[WHOLE].to(scorer.device)), vocabulary)
    paper = statements(chosen, truth, vocabulary)
    fitted = _best_of_view_sets(views, embeds, truth)
    slots: Slots = {}
    for name in vocabulary.attributes:
        slots |= views.calibrated(embeds, name, fitted[name])
    confidences = []
    right = []
    for attribute in vocabulary.attributes.values():
        for field, values in attribute.slots.items():
            top = most_probable(slots[field], values, [known[field] for known in truth])
            # Absence is never stated, so it needs no threshold.
            possible = np.array([value is not None for value in top.values])
            confidences.append(top.confidences[possible])
            right.append(top.right[possible])
    threshold = choose_threshold(
        np.concatenate(confidences),
        np.concatenate(right),
        most_false=FALSE_SHARE * (paper["false_share"] or 0.0),
        least_true=paper["true_per_image"] * len(truth),
    )
    fitted = {name: calibration.with_threshold(threshold) for name, calibration in fitted.items()}
    best = statements(decide_best(slots, vocabulary, fitted), truth, vocabulary)
    return Fitted(fitted, paper, best)


def _best_of_view_sets(
    views: ViewScorer, embeds: Mapping[str, torch.Tensor], truth: Sequence[Truth]
) -> dict[str, AttributeCalibration]:
    """The calibration, thresholds 0, with the set of views whose loss, summed over the attributes, is least."""
    best = None
    least = float("inf")
    for view_set in VIEWS:
        fitted = {}
        total = 0
        for name, attribute in views.scorer.vocabulary.attributes.items():
            logits_of = partial(_logits_of, views, embeds, name)
            fitted[name], loss = fit_attribute(attribute, view_set, logits_of, truth)
            total += loss
        if best is None or total < least:
            best = fitted
            least = total
    return best


def _logits_of(
    views: ViewScorer, embeds: Mapping[str, torch.Tensor], name: str, view: str, prompts: Prompts
) -> torch.Tensor:
    # Fitted on the CPU: L-BFGS takes many small steps, which a GPU does not speed up.
    return views.logits(embeds, name, view, prompts).cpu()


def fit_attribute(
    attribute: Attribute,
    views: Sequence[str],
    logits_of: Callable[[str, Prompts], torch.Tensor],
    truth: Sequence[Truth],
) -> tuple[AttributeCalibration, float]:
    """The temperature, prior and weights of the views that make the truth most likely; thresholds are not set yet.

    Which prompts to take, and whether the attribute's region is worth a look, is decided on the half of the images on
    which the numbers were not fitted.

    Args:
        views: the views to weigh, beside the attribute's region.
        logits_of: function of (view, prompts) that gives a (N, number of choices) float32 tensor.
        truth: what is true of each of N images.

    Returns:
        (the calibration, its thresholds 0; the log-loss of the other half)
    """
    right = {}
    for field, values in attribute.slots.items():
        right[field] = torch.tensor([[value == known[field] for value in values] for known in truth])
    even = torch.arange(len(truth)) % 2 == 0
    view_sets = [list(views)]
    if attribute.region != WHOLE:
        view_sets.append([*views, REGION])
    best = None
    for prompts in ("first", "all"):
        for looked_at in view_sets:
            logits = torch.stack([logits_of(view, prompts) for view in looked_at])
            loss = _loss_of_other_half(attribute, logits, right, even)
            # The plainest comes first; what needs more must earn it.
            if best is None or loss < best[0] - MIN_GAIN:
                best = loss, prompts, looked_at, logits
    loss, prompts, looked_at, logits = best
    weights, temperatures, priors = _numbers(attribute, _fit(attribute, logits, right))
    slots = {field: Slot(temperatures[field], priors[field], 0.0) for field in attribute.slots}
    return AttributeCalibration(prompts, dict(zip(looked_at, weights, strict=True)), slots), loss


def _loss_of_other_half(
    attribute: Attribute, logits: torch.Tensor, right: Mapping[str, torch.Tensor], even: torch.Tensor
) -> float:
    """The log-loss of each half of the images with the numbers that were fitted on the other half, averaged."""
    loss = 0.0
    for part in (even, ~even):
        fitted = _fit(attribute, logits[:, part], {field: table[part] for field, table in right.items()})
        others = {field: table[~part] for field, table in right.items()}
        with torch.no_grad():
            loss += float(_loss(attribute, logits[:, ~part], others, fitted)) / 2
    return loss


def _fit(
    attribute: Attribute, logits: torch.Tensor, right: Mapping[str, torch.Tensor], steps: int = 60
) -> dict[str, torch.Tensor]:
    """The parameters that minimise the loss, by name.

    Args:
        logits: (views, N, number of choices).
        right: field -> (N, number of values), whether that value is true.
    """
    parameters = {"views": torch.zeros(len(logits), requires_grad=True)}
    for field, values in attribute.slots.items():
        parameters[f"temperature of {field}"] = torch.zeros((), requires_grad=True)
        parameters[f"prior of {field}"] = torch.zeros(len(values), requires_grad=True)
    optimizer = torch.optim.LBFGS(list(parameters.values()), max_iter=steps, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        pull = sum((value**2).sum() for value in parameters.values())
        loss = _loss(attribute, logits, right, parameters) + PULL * pull
        loss.backward()
        return loss

    optimizer.step(closure)
    return parameters


def _loss(
    attribute: Attribute,
    logits: torch.Tensor,
    right: Mapping[str, torch.Tensor],
    parameters: Mapping[str, torch.Tensor],
) -> torch.Tensor:
    """Mean over the images of -log of the probability of what is true, summed over the attribute's fields."""
    own = torch.einsum("v,vnc->nc", parameters["views"].softmax(0), logits).log_softmax(1)
    loss = 0.0
    for field, table in right.items():
        log_temperature = parameters[f"temperature of {field}"].clamp(-MOST_LOG_TEMPERATURE, MOST_LOG_TEMPERATURE)
        scaled = _of_field(attribute, own, field) * torch.exp(-log_temperature)
        made = (scaled + parameters[f"prior of {field}"]).log_softmax(1)
        # Several columns may stand for the true value, as several phrases may say that there is no hat.
        loss = loss - made.masked_fill(~table, -1e4).logsumexp(1).mean()
    return loss


def _of_field(attribute: Attribute, log_probabilities: torch.Tensor, field: str) -> torch.Tensor:
    """(N, number of the field's values) log of the marginal probabilities."""
    if not attribute.parts:
        return log_probabilities
    sizes = [len(values) for values in attribute.parts.values()]
    # Axis 0 counts the images.
    axis = list(attribute.part_fields.values()).index(field) + 1
    others = tuple(other for other in range(1, len(sizes) + 1) if other != axis)
    table = log_probabilities.reshape(-1, *sizes)
    return table.logsumexp(others) if others else table


def _numbers(
    attribute: Attribute, parameters: Mapping[str, torch.Tensor]
) -> tuple[list[float], dict[str, float], dict[str, tuple[float, ...]]]:
    """(weights of the views, field -> temperature, field -> prior) of fitted parameters."""
    plain = {name: value.detach().double() for name, value in parameters.items()}
    temperatures = {}
    priors = {}
    for field in attribute.slots:
        log_temperature = plain[f"temperature of {field}"].clamp(-MOST_LOG_TEMPERATURE, MOST_LOG_TEMPERATURE)
        temperatures[field] = float(log_temperature.exp())
        priors[field] = tuple(plain[f"prior of {field}"].softmax(0).tolist())
    return plain["views"].softmax(0).tolist(), temperatures, priors


def choose_threshold(confidences: np.ndarray, right: np.ndarray, most_false: float, least_true: float) -> float:
    """One threshold for all fields. If probabilities can be trusted, one threshold gives the most true statements for a
    share of false ones.

    Several thresholds may give at most ``most_false`` false and at least ``least_true`` true statements. Of those the
    one in the middle is taken, since other images will be a little harder or easier. If there is none, the lowest with
    at most ``most_false`` is taken.

    Args:
        confidences: (N,) array, the probability of each possible statement. What is more probable than the threshold is
            stated.
        right: (N,) array, whether the statement is true.
        most_false: share of the statements.
        least_true: number of statements.

    Returns:
        A number from 0 to 1; 1.0 if no threshold will do.
    """
    order = np.argsort(-confidences, kind="stable")
    confidences = confidences[order]
    true = np.cumsum(right[order])
    # At position i: of the i + 1 most confident statements.
    share = 1 - true / np.arange(1, len(order) + 1)
    # A threshold can only lie between two different confidences.
    possible = np.append(confidences[1:] < confidences[:-1], True)
    few_false = np.flatnonzero(possible & (share <= most_false))
    if not len(few_false):
        return 1.0
    both = few_false[true[few_false] >= least_true]
    last = both[len(both) // 2] if len(both) else few_false[-1]
    return float(confidences[last + 1]) if last + 1 < len(order) else 0.0
