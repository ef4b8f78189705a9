"""ZeroGPU: on such a Space a GPU is lent to one call at a time, in another process; everywhere else nothing changes."""

try:
    from spaces import GPU as on_gpu

    LENT = True
except ImportError:
    LENT = False

    def on_gpu(function):
        """The function itself: without the package `spaces` there is no GPU to borrow."""
        return function


def device():
    """Where models live from the start: a GPU where there is one (ZeroGPU says so, too), else the CPU."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
