"""The contract between an objective and a training step. It is described here and nowhere else.

A step of training needs losses that compare all pairs of the global batch: those of every process, and of every chunk
in which a process passes its share. So an objective computes in two parts:

    features = objective(**objective.inputs(batch))                  # some pairs at a time, by the model
    losses = objective.losses(features, objective.targets(batch))    # all pairs at once, without the model
    losses["loss"].backward()

:func:`unipt_train.engine.joint_batch.joint_backward` does that over processes and chunks; with one process and one
chunk it is these three lines. To add an objective, subclass :class:`Objective` in a file of its own.
"""

import torch
from transformers import PreTrainedModel

Tensors = dict[str, torch.Tensor]


class Objective(torch.nn.Module):
    """A model and the losses by which it is trained. Parts that only training needs, such as classifiers, are its own.

    Attributes:
        model: the model that is trained. It is saved alone, without the objective's own parts.

    Every parameter that requires a gradient must get one from ``losses(...)["loss"]``: DDP waits for all of them.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def inputs(self, batch: Tensors) -> Tensors:
        """The part of a batch that :meth:`forward` takes.

        Args:
            batch: as :class:`unipt_train.data.batches.Collator` makes it, each tensor with n rows, one for each pair.
        """
        raise NotImplementedError

    def targets(self, batch: Tensors) -> Tensors:
        """What :meth:`losses` compares the features of a batch with; each tensor has n rows, one for each pair."""
        raise NotImplementedError

    def forward(self, **inputs: torch.Tensor) -> Tensors:
        """Features of n pairs, each tensor with n rows, whatever other pairs there are.

        What belongs to the whole batch, such as a learned scale, is repeated in each row, so that rows can be gathered
        from other processes and their gradients sent back.
        """
        raise NotImplementedError

    def losses(self, features: Tensors, targets: Tensors) -> Tensors:
        """Losses of all N pairs of the global batch.

        Args:
            features: as :meth:`forward` returns them, with N rows, gathered from all chunks and processes.
            targets: as :meth:`targets` returns them, of the same pairs in the same order.

        Returns:
            Scalars by name. ``loss`` is what training minimises; its parts are called ``..._loss``. All are logged.
        """
        raise NotImplementedError

    def keep_in_bounds(self) -> None:
        """Bring parameters that have bounds back between them, in place.

        Every process calls this before the first step and after each one, so that all of them stay alike. It is no part
        of :meth:`forward`, where a parameter beyond its bound would get no gradient that brings it back.
        """
