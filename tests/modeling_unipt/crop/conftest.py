"""A short video of rendered people, and a random RT-DETR that finds people anywhere."""

import pytest
import torch

from tests.helpers.street_video import Walker, write_street

WALKERS = (Walker(4, 0.0, 20, 60), Walker(7, 1.0, -40, 70, feet=265, height=170))


@pytest.fixture(scope="session")
def street(tmp_path_factory):
    """(video of 5 seconds, its true boxes): two people who walk through the frame."""
    path = tmp_path_factory.mktemp("street") / "street.mp4"
    return path, write_street(path, WALKERS, 5)


@pytest.fixture(scope="session")
def rtdetr(tmp_path_factory):
    """A folder that ``save_pretrained`` wrote: an RT-DETR of random weights, whose classes are bicycle and person."""
    from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrImageProcessor, RTDetrResNetConfig

    stages = ["stage2", "stage3", "stage4"]
    backbone = RTDetrResNetConfig(
        embedding_size=16, hidden_sizes=[16, 24, 32, 40], depths=[1, 1, 1, 1], out_features=stages
    )
    width = {
        "d_model": 32,
        "encoder_hidden_dim": 32,
        "decoder_in_channels": [32] * 3,
        "encoder_in_channels": [24, 32, 40],
    }
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48}
    layers = {"encoder_layers": 1, "decoder_layers": 1, "num_queries": 6, "hidden_expansion": 0.5}
    labels = {"id2label": {0: "bicycle", 1: "person"}, "label2id": {"bicycle": 0, "person": 1}}
    torch.manual_seed(0)
    model = RTDetrForObjectDetection(RTDetrConfig(backbone_config=backbone, **width, **heads, **layers, **labels))
    with torch.no_grad():
        for name, weights in model.named_parameters():
            # Random weights would give all boxes the same score.
            if "class_embed" in name or "enc_score_head" in name:
                weights.normal_(std=2.0)
            elif "bbox" in name:
                weights.normal_(std=0.2)
            else:
                weights.mul_(3.0)
    folder = tmp_path_factory.mktemp("models") / "rtdetr-random"
    model.save_pretrained(folder)
    RTDetrImageProcessor(size={"height": 96, "width": 96}).save_pretrained(folder)
    return folder
