"""The gallery: a text query end to end, indexing, and a million vectors; a part of `make bench`.

Every ratio is of two things measured in turn in this one run, by the medians of both. Machines are noisy, so compare
figures of one run only.

* A text query over 100,000 x 256 through `PersonGallery.search`, against the text encoder's forward and FAISS's own
  search of the same vectors. Every query is a new text, so nothing comes from a cache.
* Indexing JPEG files with `PersonGallery.from_folder`, against the vision tower on tensors that are ready: the same
  images, batches, precision and threads.
* 1,000,000 x 256 generated vectors in 20,000 clusters in an ivf index, as `unipt index` makes for so many.
"""

import statistics
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import torch
from torch.nn import functional as F

from modeling_unipt import PersonGallery, UniPTModel, load_unipt
from modeling_unipt.common.image_files import read_image
from modeling_unipt.gallery.rows import GalleryRows
from modeling_unipt.gallery.vector_index import VectorIndex
from unipt_train.speed.figures import Figure
from unipt_train.speed.timing import REPETITIONS, seconds_of
from unipt_train.studies.commands import ROOT

DIM = 256
QUERIES = 200
WARM_UP_QUERIES = 10
TOP_K = 10
BATCH = 64
WORDS = {
    "age": ["young", "old", "middle-aged"],
    "gender": ["man", "woman", "child", "person"],
    "colour": ["red", "blue", "green", "black", "white", "gray", "yellow", "brown", "pink", "purple", "orange"],
    "garment": ["coat", "jacket", "dress", "shirt", "hoodie", "sweater", "vest"],
    "bag": ["backpack", "handbag", "suitcase", "umbrella"],
}


def texts(count: int) -> list[str]:
    """``count`` different descriptions."""
    generator = np.random.default_rng(0)
    # A dict keeps the order in which they came, and each once.
    found: dict[str, None] = {}
    while len(found) < count:
        pick = {name: str(generator.choice(words)) for name, words in WORDS.items()}
        below = generator.choice(WORDS["colour"])
        text = "a {age} {gender} in a {colour} {garment}".format(**pick) + f", {below} trousers, with a {pick['bag']}"
        found[text] = None
    return list(found)


def clustered(rows: int, dim: int, clusters: int, seed: int = 0) -> np.ndarray:
    """(rows, dim) float32 of length 1 around ``clusters`` random centres, which make up two thirds of the variance."""
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((clusters, dim), dtype=np.float32)
    vectors = centres[generator.integers(0, clusters, rows)]
    vectors += 0.7 * generator.standard_normal((rows, dim), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def measure_query() -> list[Figure]:
    """A gallery of generated embeddings with a model of unipt-tiny's encoders and 256 numbers an embedding."""
    # An optional extra.
    import faiss

    tiny, processor = load_unipt(ROOT / "unipt" / "unipt-tiny")
    config = tiny.config
    config.projection_dim = DIM
    model = UniPTModel(config).eval()
    vectors = clustered(100_000, DIM, 5_000)
    raw = faiss.IndexFlatIP(DIM)
    raw.add(vectors)
    gallery = PersonGallery(model, processor)
    gallery._rows = GalleryRows(made_up_rows(len(vectors)))
    gallery._index = VectorIndex.build(vectors, "exact")
    encoder = []
    search = []
    whole = []
    with torch.inference_mode():
        for text in texts(QUERIES + WARM_UP_QUERIES):
            inputs = processor(text=[text], return_tensors="pt")
            encoder.append(seconds_of(partial(model.get_text_features, **inputs)))
            query = F.normalize(model.get_text_features(**inputs).pooler_output, dim=-1).numpy()
            search.append(seconds_of(partial(raw.search, query, TOP_K)))
            whole.append(seconds_of(partial(gallery.search, text)))
    encoder_ms, search_ms, whole_ms = (
        1000 * statistics.median(taken[WARM_UP_QUERIES:]) for taken in (encoder, search, whole)
    )
    return [
        Figure("text encoder forward", encoder_ms, "ms"),
        Figure("raw FAISS search of 100,000 x 256", search_ms, "ms"),
        Figure("text query over 100,000 x 256 in the gallery", whole_ms, "ms"),
        Figure("text query / (encoder + raw FAISS)", whole_ms / (encoder_ms + search_ms), at_most=1.3),
    ]


def made_up_rows(count: int) -> pyarrow.Table:
    """The table of a gallery's rows, with names and hashes that no image has."""
    names = [f"camera/{number:07d}.jpg" for number in range(count)]
    return pyarrow.table({"content_hash": [f"{number:064x}" for number in range(count)], "file_name": names})


def measure_indexing(folder: Path) -> list[Figure]:
    """Indexing the sample dataset's images, against the bare tower; ``folder`` is an empty one to work in."""
    model, processor = load_unipt(ROOT / "unipt" / "unipt-tiny")
    crops = folder / "crops"
    crops.mkdir()
    for shard in sorted((ROOT / "luperson-t" / "data").glob("*.parquet")):
        for row in parquet.read_table(shard, columns=["image", "image_id"]).to_pylist():
            (crops / f"{row['image_id']}.jpg").write_bytes(row["image"]["bytes"])
    files = sorted(crops.iterdir())
    ready = []
    for start in range(0, len(files), BATCH):
        images = [read_image(file) for file in files[start : start + BATCH]]
        ready.append(processor(images=images, return_tensors="pt").pixel_values)

    def tower() -> None:
        with torch.inference_mode():
            for pixels in ready:
                model.get_image_features(pixels)

    def index() -> None:
        found = PersonGallery.from_folder(crops, (model, processor), batch_size=BATCH, progress=lambda *_: None)
        assert len(found) == len(files)

    # The first round only fills caches.
    tower()
    bare = []
    whole = []
    for _ in range(REPETITIONS):
        bare.append(seconds_of(tower))
        whole.append(seconds_of(index))
    bare_rate = len(files) / statistics.median(bare)
    whole_rate = len(files) / statistics.median(whole)
    return [
        Figure("bare vision tower", bare_rate, "images/s"),
        Figure("indexing a folder", whole_rate, "images/s"),
        Figure("indexing / bare vision tower", whole_rate / bare_rate, at_least=0.85),
    ]


def measure_million() -> list[Figure]:
    """Building and searching an index of a million vectors."""
    rows = 1_000_000
    vectors = clustered(rows, DIM, 20_000)
    built = []
    build_s = seconds_of(lambda: built.append(VectorIndex.build(vectors, None)))
    index = built[0]
    # Queries are near stored vectors, but none of them, as a description is near its images.
    chosen = np.random.default_rng(5).choice(rows, QUERIES, replace=False)
    queries = vectors[chosen] + 0.02 * np.random.default_rng(6).standard_normal((QUERIES, DIM), dtype=np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    truth = [set(np.argpartition(-scores, TOP_K)[:TOP_K]) for scores in queries @ vectors.T]
    hits = 0
    taken_ms = []
    for query, wanted in zip(queries, truth, strict=True):
        answers = []
        taken_ms.append(
            1000 * seconds_of(lambda query=query, answers=answers: answers.append(index.search(query, TOP_K)))
        )
        _, found = answers[0]
        hits += len(wanted & set(found.tolist()))
    name = f"1,000,000 x {DIM}, {index.kind}"
    return [
        Figure(f"{name}: built in", build_s, "s"),
        Figure(f"{name}: recall@10 of new queries", hits / (TOP_K * QUERIES), at_least=0.95),
        Figure(f"{name}: recall@10 as the index tells", index.recall),
        Figure(f"{name}: search p50", float(np.percentile(taken_ms, 50)), "ms"),
        Figure(f"{name}: search p99", float(np.percentile(taken_ms, 99)), "ms"),
        Figure(f"{name}: clusters looked at", index.effort),
    ]


def measure(folder: Path) -> Iterator[Figure]:
    """Measure a query, indexing and the large index.

    Args:
        folder: an empty one to work in.
    """
    yield Figure("threads", torch.get_num_threads())
    yield from measure_query()
    yield from measure_indexing(folder)
    yield from measure_million()
