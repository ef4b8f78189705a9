"""Every pair of towers over two processes, and whole models of full size, in Hub layout."""

import json
import math
import subprocess
import sys

import pytest

from tests.helpers.paths import ROOT
from tests.helpers.towers import TEXT, VISION

pytestmark = pytest.mark.slow


def run(*command):
    finished = subprocess.run(
        [sys.executable, *map(str, command)], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout + finished.stderr


@pytest.mark.timeout(600)
def test_every_pair_of_towers_trains_over_two_processes(tmp_path):
    records = tmp_path / "records.json"
    run("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2, "-m",
        "tests.helpers.tower_matrix_ranks", tmp_path, records)  # fmt: skip
    pairs = {(record["vision"], record["text"]): record for record in json.loads(records.read_text())}
    assert set(pairs) == {(vision, text) for vision in VISION for text in TEXT}
    for pair, record in pairs.items():
        assert all(math.isfinite(loss) for loss in record["losses"]), pair
        assert record["reloaded"] == 0, pair
        assert record["padding"] < 1e-5, pair


@pytest.fixture(scope="module")
def dual_encoders(tmp_path_factory):
    """As openai/clip-vit-base-patch16 and google/siglip2-base-patch16-224 lie on the Hub, with smaller tokenizers."""
    import torch
    from transformers import (
        CLIPConfig,
        CLIPImageProcessor,
        CLIPModel,
        CLIPProcessor,
        CLIPVisionConfig,
        SiglipConfig,
        SiglipImageProcessor,
        SiglipModel,
        SiglipProcessor,
    )

    from tests.helpers.towers import siglip_2_tokenizer
    from unipt_train.data.tokenizers import clip_tokenizer, corpus

    folder = tmp_path_factory.mktemp("dual-encoders")
    torch.manual_seed(0)
    tokenizer = clip_tokenizer(corpus())
    config = CLIPConfig(vision_config=CLIPVisionConfig(patch_size=16).to_dict(), projection_dim=512)
    config.text_config.eos_token_id = tokenizer.eos_token_id
    CLIPModel(config).save_pretrained(folder / "clip")
    CLIPProcessor(image_processor=CLIPImageProcessor(), tokenizer=tokenizer).save_pretrained(folder / "clip")
    # SigLIP 2's vocabulary has 256,000 words, which make half of its weights.
    siglip = SiglipModel(SiglipConfig(text_config={"vocab_size": 256_000}))
    siglip.logit_scale.data.fill_(math.log(10))
    siglip.logit_bias.data.fill_(-12)
    siglip.save_pretrained(folder / "siglip2")
    images = SiglipImageProcessor(size={"height": 224, "width": 224})
    SiglipProcessor(image_processor=images, tokenizer=siglip_2_tokenizer(64)).save_pretrained(folder / "siglip2")
    return folder


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("clip", ["--image-height", 384, "--image-width", 128]),
        ("siglip2", ["--contrastive-loss", "sigmoid"]),
    ],
)
def test_pretraining_goes_on_from_full_size_dual_encoders(name, options, dual_encoders, tmp_path):
    output = tmp_path / "unipt"
    told = run("train/pretrain.py", "--model", dual_encoders / name, *options, "--dataset", "luperson-t",
               "--output-dir", output, "--batch-size", 4, "--max-steps", 3, "--log-steps", 1, "--save-steps", 0,
               "--precision", "no", "--learning-rate", 1e-5)  # fmt: skip
    assert "with its own projections, pooling and scale" in told
    log = json.loads((output / "training_log.json").read_text())
    assert [line["step"] for line in log] == [1, 2, 3]
    assert all(math.isfinite(line[part]) for line in log for part in ("loss", "contrastive_loss", "mlm_loss"))
    config = json.loads((output / "config.json").read_text())
    wanted = {"clip": ("first", "last", None), "siglip2": ("attention", "padded_last", -12)}[name]
    bias = config["logit_bias_init_value"]
    assert (config["vision_pooling"], config["text_pooling"], bias and round(bias)) == wanted
