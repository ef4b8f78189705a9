"""An image of some queries of a split, each with the images found for it, hits and misses framed."""

from pathlib import Path

import numpy as np
from datasets import Dataset

from modeling_unipt.common.contact_sheet import write_contact_sheet
from modeling_unipt.image_processing_unipt import to_rgb
from unipt_train.evaluation.measure import Embedded

FOUND_SHOWN = 5


def write_query_sheet(path: Path | str, rows: Dataset, embedded: Embedded, count: int, seed: int) -> None:
    """Write the sheet of ``count`` random captions, each with the ``FOUND_SHOWN`` best images.

    Args:
        path: its suffix names the format.
        rows: the split, for its images.
        embedded: the same split as the model sees it.
        seed: seed of the choice of captions.

    Raises:
        UserError: the sheet cannot be saved.
    """
    picked = np.random.default_rng(seed).permutation(len(embedded.captions))[:count]
    similarity = embedded.text_embeds[picked] @ embedded.image_embeds.T
    # A stable sort gives ties to the lower gallery index, as the metric does.
    best = np.argsort(-similarity, axis=1, kind="stable")[:, :FOUND_SHOWN]
    queries = []
    for row, query in enumerate(picked):
        person = embedded.text_person_ids[query]
        results = []
        for index in best[row]:
            is_hit = bool(embedded.image_person_ids[index] == person)
            results.append((to_rgb(rows[int(index)]["image"]), f"{similarity[row, index]:.2f}", is_hit))
        queries.append((embedded.captions[query], results))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_contact_sheet(path, queries)
