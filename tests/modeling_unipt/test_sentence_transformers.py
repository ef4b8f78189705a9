"""A UniPT folder is a model of sentence-transformers, whose embeddings equal those of our own functions."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize
from transformers import AutoTokenizer

from modeling_unipt import UniPTForPreTraining, UniPTImageProcessor, UniPTModel, UniPTProcessor
from modeling_unipt.configuration_unipt import SENTENCE_TRANSFORMERS_FILES
from modeling_unipt.embedding import embed_images, embed_texts
from modeling_unipt.loading import load_unipt
from tests.helpers.paths import ROOT
from tests.helpers.people import draw_person
from tests.helpers.towers import write_dual_encoder

# The last one is longer than every tokenizer's limit.
TEXTS = ["a man in red", "an old woman with a handbag", "a", "a young man in a red coat and black trousers " * 20]
IMAGES = [draw_person(seed, height=60 + 30 * seed) for seed in range(5)]


def embeddings(folder):
    """Of TEXTS and IMAGES: (those of sentence-transformers, our own)."""
    model = SentenceTransformer(str(folder), device="cpu")
    theirs = model.encode(TEXTS, batch_size=3), model.encode(IMAGES, batch_size=2)
    unipt, processor = load_unipt(folder)
    ours = (
        embed_texts(unipt, processor, TEXTS, dtype="float32"),
        embed_images(unipt, processor, IMAGES, dtype="float32"),
    )
    return theirs, ours


def assert_equal(theirs, ours):
    for found, wanted in zip(theirs, ours, strict=True):
        assert found.shape == wanted.shape
        # Different images and texts are far further from each other than that.
        assert np.ptp(wanted, axis=0).max() > 1e-3
        np.testing.assert_allclose(found, wanted, atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_the_released_model_gives_our_embeddings_and_cosines():
    theirs, ours = embeddings(ROOT / "unipt" / "unipt-tiny")
    assert_equal(theirs, ours)
    model = SentenceTransformer(str(ROOT / "unipt" / "unipt-tiny"), device="cpu")
    assert model.similarity_fn_name == "cosine"
    np.testing.assert_allclose(model.similarity(*theirs).numpy(), ours[0] @ ours[1].T, atol=1e-5)


def test_texts_reach_the_model_in_their_normal_form():
    model = SentenceTransformer(str(ROOT / "unipt" / "unipt-tiny"), device="cpu")
    untidy = model.encode(["\ufeffa &quot;man&quot;\u00a0 in  \uff52\uff45\uff44"])
    np.testing.assert_array_equal(untidy, model.encode(['a "man" in red']))
    assert np.abs(untidy - model.encode(["a man in red"])).max() > 1e-4


def test_the_example_of_the_docs_runs_as_printed(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    exec(re.search(r"```python\n(.*?)```", page[page.index("## sentence-transformers") :], re.S).group(1), {})
    cosines = [float(number) for number in re.findall(r"-?0\.\d+", capsys.readouterr().out)]
    assert len(cosines) == 2 and cosines[0] > cosines[1]


def test_a_pretraining_folder_loads_too(tiny_config, tiny_processor, tmp_path):
    UniPTForPreTraining(tiny_config()).save_pretrained(tmp_path)
    tiny_processor.save_pretrained(tmp_path)
    assert_equal(*embeddings(tmp_path))


@pytest.mark.parametrize("family", ["clip", "siglip"])
def test_a_dual_encoder_taken_as_it_is(family, tmp_path):
    write_dual_encoder(family, tmp_path / "dual")
    UniPTModel.from_dual_encoder_pretrained(tmp_path / "dual").save_pretrained(tmp_path / "unipt")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "dual")
    images = UniPTImageProcessor(size={"height": 64, "width": 64})
    UniPTProcessor(images, tokenizer).save_pretrained(tmp_path / "unipt")
    assert_equal(*embeddings(tmp_path / "unipt"))


def test_what_sentence_transformers_saves_loads_again_with_its_own_settings(tiny_unipt_folder, tmp_path):
    """Our files do not overwrite what it wrote before it had the model saved."""
    model = SentenceTransformer(str(tiny_unipt_folder), device="cpu", prompts={"query": "a photo of "})
    model.append(Normalize())
    model.similarity_fn_name = "dot"
    model.save(str(tmp_path))
    again = SentenceTransformer(str(tmp_path), device="cpu")
    assert len(again) == 3 and again.similarity_fn_name == "dot" and again.prompts["query"] == "a photo of "
    np.testing.assert_allclose(again.encode(TEXTS), model.encode(TEXTS), atol=1e-6)


def test_the_released_folder_has_the_files_that_saving_writes(tiny_unipt_folder):
    for name, content in SENTENCE_TRANSFORMERS_FILES.items():
        written = (tiny_unipt_folder / name).read_bytes()
        assert json.loads(written) == content
        assert (ROOT / "unipt" / "unipt-tiny" / name).read_bytes() == written


REMOTE = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "modeling_unipt":
            raise ImportError(f"{name} is blocked by this test")

sys.meta_path.insert(0, Blocker())
import numpy
from sentence_transformers import SentenceTransformer

model = SentenceTransformer(sys.argv[1], device="cpu", trust_remote_code=True)
assert "transformers_modules" in type(model[0].model).__module__
numpy.save(sys.argv[2], model.encode(["a man in red"]))
"""


@pytest.mark.slow
def test_a_folder_loads_without_this_package_where_remote_code_is_trusted(tiny_unipt_folder, tmp_path):
    output = tmp_path / "embeds.npy"
    finished = subprocess.run(
        [sys.executable, "-I", "-c", REMOTE, str(tiny_unipt_folder), str(output)],
        env=os.environ | {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
    wanted = embed_texts(*load_unipt(tiny_unipt_folder), ["a man in red"], dtype="float32")
    np.testing.assert_allclose(np.load(output), wanted, atol=1e-5)
