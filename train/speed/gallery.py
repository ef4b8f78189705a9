"""Measure the gallery on this machine: a text query end to end, indexing, and a million vectors.

    python train/bench_gallery.py

Every ratio is of two things measured in turns in this one run, medians of both; machines are noisy, so compare figures
of one run only.

* A text query over 100,000 x 256 through `PersonGallery.search`, against the text encoder's forward and FAISS's own
  search of the same vectors. Every query is a new text, so nothing comes from a cache.
* Indexing JPEG files with `PersonGallery.from_folder`, against the vision tower on tensors that are ready: the same
  pictures, batches, precision and threads.
* 1,000,000 x 256 generated vectors in 20,000 clusters in an ivf index, as `unipt index` makes for so many.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from modeling_unipt.common.user_errors import run_command
from unipt_train.studies.commands import ROOT

DIM, QUERIES, IMAGES, BATCH, REPETITIONS = 256, 200, 1000, 64, 3
WORDS = {
    "age": ["young", "old", "middle-aged"],
    "gender": ["man", "woman", "child", "person"],
    "colour": ["red", "blue", "green", "black", "white", "gray", "yellow", "brown", "pink", "purple", "orange"],
    "garment": ["coat", "jacket", "dress", "shirt", "hoodie", "sweater", "vest"],
    "bag": ["backpack", "handbag", "suitcase", "umbrella"],
}


def texts(count):
    """So many different descriptions."""
    generator, found = np.random.default_rng(0), {}
    while len(found) < count:
        pick = {name: str(generator.choice(words)) for name, words in WORDS.items()}
        below = generator.choice(WORDS["colour"])
        text = "a {age} {gender} in a {colour} {garment}".format(**pick) + f", {below} trousers, with a {pick['bag']}"
        found[text] = None
    return list(found)


def clustered(rows, dim, clusters, seed=0):
    """(rows, dim) float32 of length 1 around ``clusters`` random centres, two thirds of the variance between them."""
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((clusters, dim), dtype=np.float32)
    vectors = centres[generator.integers(0, clusters, rows)]
    vectors += 0.7 * generator.standard_normal((rows, dim), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def timed(work):
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def measure_query():
    """A gallery of generated embeddings with a model of unipt-tiny's encoders and 256 numbers an embedding."""
    import faiss
    import torch

    from modeling_unipt import PersonGallery, UniPTModel, load_unipt
    from modeling_unipt.gallery.rows import GalleryRows
    from modeling_unipt.gallery.vector_index import VectorIndex

    tiny, processor = load_unipt(ROOT / "unipt" / "unipt-tiny")
    config = tiny.config
    config.projection_dim = DIM
    model = UniPTModel(config).eval()
    vectors = clustered(100_000, DIM, 5_000)
    raw = faiss.IndexFlatIP(DIM)
    raw.add(vectors)
    gallery = PersonGallery(model, processor)
    gallery._rows, gallery._index = GalleryRows(made_up_rows(len(vectors))), VectorIndex.build(vectors, "exact")
    encoder, search, whole = [], [], []
    with torch.inference_mode():
        for number, text in enumerate(texts(QUERIES + 10)):
            inputs = processor(text=[text], return_tensors="pt")
            found = []
            encoded = timed(lambda inputs=inputs, found=found: found.append(model.get_text_features(**inputs)))
            query = torch.nn.functional.normalize(found[0].pooler_output, dim=-1).numpy()
            searched = timed(lambda query=query: raw.search(query, 10))
            gone = timed(lambda text=text: gallery.search(text))
            if number >= 10:
                encoder.append(encoded)
                search.append(searched)
                whole.append(gone)
    encoder, search, whole = (1000 * statistics.median(taken) for taken in (encoder, search, whole))
    return {
        "text encoder forward, ms": encoder,
        "raw FAISS search of 100,000 x 256, ms": search,
        "text query over 100,000 x 256 in the gallery, ms": whole,
        "text query, times (encoder + raw FAISS)": whole / (encoder + search),
    }


def made_up_rows(count):
    import pyarrow

    names = [f"camera/{number:07d}.jpg" for number in range(count)]
    return pyarrow.table({"content_hash": [f"{number:064x}" for number in range(count)], "file_name": names})


def measure_indexing(folder):
    import pyarrow.parquet
    import torch

    from modeling_unipt import PersonGallery, load_unipt
    from modeling_unipt.common.image_files import read_image

    pair = model, processor = load_unipt(ROOT / "unipt" / "unipt-tiny")
    crops = folder / "crops"
    crops.mkdir()
    for shard in sorted((ROOT / "luperson-t" / "data").glob("*.parquet")):
        for row in pyarrow.parquet.read_table(shard, columns=["image", "image_id"]).to_pylist():
            (crops / f"{row['image_id']}.jpg").write_bytes(row["image"]["bytes"])
    files = sorted(crops.iterdir())
    ready = [
        processor(images=[read_image(file) for file in files[start : start + BATCH]], return_tensors="pt").pixel_values
        for start in range(0, len(files), BATCH)
    ]

    def tower():
        with torch.inference_mode():
            for pixels in ready:
                model.get_image_features(pixels)

    def index():
        found = PersonGallery.from_folder(crops, pair, batch_size=BATCH, progress=lambda done, total: None)
        assert len(found) == len(files)

    tower()
    bare, whole = [], []
    for _ in range(REPETITIONS):
        bare.append(timed(tower))
        whole.append(timed(index))
    bare, whole = (len(files) / statistics.median(taken) for taken in (bare, whole))
    return {
        "bare vision tower, images/s": bare,
        "indexing a folder, images/s": whole,
        "indexing, share of the bare tower": whole / bare,
    }


def measure_million():
    from modeling_unipt.gallery.vector_index import VectorIndex

    rows = 1_000_000
    vectors = clustered(rows, DIM, 20_000)
    found = []
    built = timed(lambda: found.append(VectorIndex.build(vectors, None)))
    index = found[0]
    chosen = np.random.default_rng(5).choice(rows, QUERIES, replace=False)
    queries = vectors[chosen] + 0.02 * np.random.default_rng(6).standard_normal((QUERIES, DIM), dtype=np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    truth = [set(np.argpartition(-scores, 10)[:10]) for scores in queries @ vectors.T]
    hits, taken = 0, []
    for query, wanted in zip(queries, truth, strict=True):
        answer = []
        taken.append(1000 * timed(lambda query=query, answer=answer: answer.append(index.search(query, 10)[1])))
        hits += len(wanted & set(answer[0].tolist()))
    return {
        f"1,000,000 x {DIM}, {index.kind}: built in, s": built,
        f"1,000,000 x {DIM}, {index.kind}: recall@10 of new queries": hits / (10 * QUERIES),
        f"1,000,000 x {DIM}, {index.kind}: recall@10 as the index tells": index.recall,
        f"1,000,000 x {DIM}, {index.kind}: search p50, ms": float(np.percentile(taken, 50)),
        f"1,000,000 x {DIM}, {index.kind}: search p99, ms": float(np.percentile(taken, 99)),
        f"1,000,000 x {DIM}, {index.kind}: clusters looked at": index.effort,
    }


def measure(folder):
    """Name -> figure, in the unit that the name ends with; ``folder`` is an empty one to work in."""
    import torch

    figures = {"threads": torch.get_num_threads()}
    for part in (measure_query, lambda: measure_indexing(Path(folder)), measure_million):
        figures |= part()
    return figures


def main(argv=None):
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        figures = measure(folder)
    width = max(map(len, figures))
    for name, figure in figures.items():
        print(f"{name:<{width}}  {figure:10.3f}")
    print(f"measured in {time.perf_counter() - begun:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    run_command(main)
