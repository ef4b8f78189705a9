"""How far a scorer's picks agree with the truth of rendered people."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from dataset_builders.conquer.paper_recipe import decide
from dataset_builders.conquer.scorer import Scorer
from dataset_builders.divide.vocabulary import Truth, Vocabulary
from dataset_builders.measure.agreement import Agreement, agreement

BATCH = 64


def held_out_agreement(
    scorer: Path | str, vocabulary: Vocabulary, truth: Mapping[str, Truth], images: Path | str
) -> Agreement:
    """The agreement of the paper's rule, applied to a scorer's probabilities, with the truth of each image.

    Args:
        scorer: folder or Hub name of a CLIP.
        vocabulary: what the scorer is asked for.
        truth: file name -> what is true of that image.
        images: folder of these files.
    """
    asked = Scorer(str(scorer), vocabulary)
    names = list(truth)
    batches = []
    for start in range(0, len(names), BATCH):
        opened = [Image.open(Path(images, name)) for name in names[start : start + BATCH]]
        batches.append(asked.probabilities(opened))
        for image in opened:
            image.close()
    probabilities = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    return agreement(decide(probabilities, vocabulary), list(truth.values()), vocabulary)
