"""Tiny models, made once a session with random weights, and generated pictures; nothing is fetched."""

import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
if (worker := os.environ.get("PYTEST_XDIST_WORKER")) and hasattr(os, "sched_setaffinity"):
    cores = sorted(os.sched_getaffinity(0))  # one a worker, for it and its children: threads that share cores only wait
    os.sched_setaffinity(0, {cores[int(worker.removeprefix("gw")) % len(cores)]})

import pytest
import torch

from tests.helpers.people import ENCODER, draw_person

torch.set_num_threads(1)

SENTENCES = [
    "a young man in a red coat and black trousers is walking",
    "an old woman with long hair wears a blue dress and carries a white handbag",
    "the child wears a striped t-shirt, green shorts and a cap, and rides a bicycle",
]


@pytest.fixture(autouse=True)
def no_accelerator_left_over():
    """Accelerate keeps one state a process, which the next test may want otherwise."""
    yield
    if "accelerate.state" in sys.modules:
        sys.modules["accelerate.state"].AcceleratorState._reset_state(True)


@pytest.fixture(scope="session")
def tiny_tokenizer():
    """A WordPiece tokenizer of some hundred tokens; every lower-case letter is in it."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertTokenizer

    trained = BertWordPieceTokenizer(lowercase=True)
    letters = [" ".join("abcdefghijklmnopqrstuvwxyz0123456789"), "abcdefghijklmnopqrstuvwxyz"]
    trained.train_from_iterator(SENTENCES + letters, vocab_size=200, min_frequency=1, show_progress=False)
    return BertTokenizer(vocab=trained.get_vocab(), model_max_length=64)


@pytest.fixture(scope="session")
def tiny_config(tiny_tokenizer):
    """A function giving a new `UniPTConfig` of random-weight size; ``vision`` is vit, deit or clip."""
    from transformers import BertConfig, CLIPVisionConfig, DeiTConfig, ViTConfig

    from modeling_unipt import UniPTConfig

    vision_configs = {"vit": ViTConfig, "deit": DeiTConfig, "clip": CLIPVisionConfig}

    def make(vision="vit", image_size=64, **options):
        return UniPTConfig(
            text_config=BertConfig(vocab_size=len(tiny_tokenizer), max_position_embeddings=64, **ENCODER),
            vision_config=vision_configs[vision](image_size=image_size, patch_size=16, **ENCODER),
            **{"projection_dim": 24, **options},
        )

    return make


@pytest.fixture(scope="session")
def tiny_processor(tiny_tokenizer):
    from modeling_unipt import UniPTImageProcessor, UniPTProcessor

    return UniPTProcessor(UniPTImageProcessor(size={"height": 96, "width": 32}), tiny_tokenizer)


@pytest.fixture(scope="session")
def tiny_unipt_folder(tmp_path_factory, tiny_config, tiny_processor):
    """A `UniPTModel` with its processor as ``save_pretrained`` writes them."""
    from modeling_unipt import UniPTModel

    folder = tmp_path_factory.mktemp("models") / "unipt-random"
    torch.manual_seed(0)
    UniPTModel(tiny_config()).save_pretrained(folder)
    tiny_processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_clip_folder(tmp_path_factory):
    """A `CLIPModel` of 32 x 32 pixels with its `CLIPProcessor`, as ``save_pretrained`` writes them."""
    from transformers import (
        CLIPConfig,
        CLIPImageProcessor,
        CLIPModel,
        CLIPProcessor,
        CLIPTextConfig,
        CLIPTokenizer,
        CLIPVisionConfig,
    )

    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,'-"
    pieces = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(
        vocab={piece: index for index, piece in enumerate(pieces)}, merges=[], model_max_length=77
    )
    ids = {"bos_token_id": len(pieces) - 2, "eos_token_id": len(pieces) - 1, "pad_token_id": len(pieces) - 1}
    text = CLIPTextConfig(vocab_size=len(pieces), max_position_embeddings=77, projection_dim=16, **ids, **ENCODER)
    vision = CLIPVisionConfig(image_size=32, patch_size=16, projection_dim=16, **ENCODER)
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=16))
    image_processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    folder = tmp_path_factory.mktemp("models") / "clip-random"
    model.save_pretrained(folder)
    CLIPProcessor(image_processor=image_processor, tokenizer=tokenizer).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def vocabulary():
    """The shipped vocabulary of people."""
    from dataset_builders.divide.reading import load_vocabulary

    return load_vocabulary()


@pytest.fixture
def image_folder(tmp_path):
    """A folder of six drawn people, one of them in a sub-folder, a text file, and two files that are no images."""
    folder = tmp_path / "crops"
    (folder / "cam_b").mkdir(parents=True)
    for index in range(5):
        draw_person(index).save(folder / f"person_{index}.png")
    draw_person(5).save(folder / "cam_b" / "person_5.jpg")
    (folder / "notes.txt").write_text("not an image")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "torn.png").write_bytes((folder / "person_0.png").read_bytes()[:200])
    return folder


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The stand-in, to which this process's huggingface_hub talks, with a token."""
    from types import SimpleNamespace

    import huggingface_hub

    from tests.helpers.hub_stand_in import TOKEN, HubStandIn

    with HubStandIn() as hub:
        constants = huggingface_hub.constants
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.endpoint + "/{repo_id}/{revision}/{filename}")
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr(huggingface_hub.utils._http, "time", SimpleNamespace(sleep=lambda seconds: None))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield hub
