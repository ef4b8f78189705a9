"""Optimizers and their parameter groups."""

import torch

from unipt_train.engine.muon import Muon


def parameter_groups(named_parameters, learning_rates, default_rate, weight_decay):
    """Optimizer groups: one rate per parameter-name prefix, and no weight decay on biases, norms and scalars.

    Args:
        named_parameters: iterable of (name, parameter).
        learning_rates: prefix of parameter names -> learning rate; the first that matches wins.
    """
    groups = {}
    for name, parameter in named_parameters:
        rate = next((rate for prefix, rate in learning_rates.items() if name.startswith(prefix)), default_rate)
        decay = weight_decay if parameter.ndim >= 2 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return [{"params": params, "lr": rate, "weight_decay": decay} for (rate, decay), params in groups.items()]


def build_optimizers(model, learning_rates, default_rate, weight_decay, betas, muon_learning_rate=None):
    """AdamW for everything; or, with ``muon_learning_rate``, Muon for the matrices inside transformer layers and AdamW
    for the rest (embeddings, projections, heads, vectors).

    Returns:
        List of one or two optimizers.
    """
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    matrices = []
    if muon_learning_rate is not None:
        matrices = [(name, p) for name, p in trained if p.ndim == 2 and (".layer." in name or ".layers." in name)]
    by_muon = {id(parameter) for _, parameter in matrices}
    rest = [(name, parameter) for name, parameter in trained if id(parameter) not in by_muon]
    optimizers = [torch.optim.AdamW(parameter_groups(rest, learning_rates, default_rate, weight_decay), betas=betas)]
    if matrices:
        parameters = [parameter for _, parameter in matrices]
        optimizers.append(Muon(parameters, lr=muon_learning_rate, weight_decay=weight_decay))
    return optimizers
