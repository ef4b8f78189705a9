"""Killing a command at once with all that it has started; torchrun gives each of its workers a session of its own."""

import contextlib

import psutil


def kill_tree(process):
    """SIGKILL to a ``subprocess.Popen`` and its descendants; returns when none is left."""
    launcher, tree = psutil.Process(process.pid), []
    with contextlib.suppress(psutil.NoSuchProcess):
        launcher.suspend()  # it starts no more
        tree = launcher.children(recursive=True)
    for each in [*tree, launcher]:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    process.wait()
    psutil.wait_procs(tree)
