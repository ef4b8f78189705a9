"""Optimizers and starting positions: what the tiny models need to learn from scratch within minutes."""

import torch


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
        optimizers.append(torch.optim.Muon(parameters, lr=muon_learning_rate, weight_decay=weight_decay))
    return optimizers


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
