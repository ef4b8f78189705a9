"""The model of a gallery: loading it, and telling it from others."""

import hashlib
from pathlib import Path


def load_model(model, revision=None, device=None):
    """(model on ``device`` or, by default, a GPU where there is one, processor); a pair of them is given back as it is.

    Args:
        model: folder or Hub id of a UniPT model, or a (model, processor) pair.
    """
    if isinstance(model, tuple):
        return model
    import torch

    from .loading import load_unipt

    loaded, processor = load_unipt(model, revision)
    return loaded.to(device or ("cuda" if torch.cuda.is_available() else "cpu")), processor


def model_name(model):
    """Where ``model`` was loaded from: a Hub id, or the absolute path of a folder, good in any working directory."""
    name = model.name_or_path
    return str(Path(name).resolve()) if Path(name).is_dir() else name


def weights_digest(model):
    """SHA-256 of all weights, in float32, with their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.float().cpu().contiguous().numpy())
    return digest.hexdigest()
