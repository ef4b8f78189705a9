"""`unipt convert`: generated checkpoints of each layout come out with their values, and nothing in one is executed."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F
from transformers import AutoTokenizer, BertConfig, BertModel, CLIPConfig, CLIPModel
from transformers.models.auto.image_processing_auto import AutoImageProcessor

from modeling_unipt import UniPTForPreTraining
from modeling_unipt.cli import make_parser
from modeling_unipt.common.user_errors import UserError
from modeling_unipt.configuration_unipt import POOLINGS
from modeling_unipt.loading import load_unipt
from modeling_unipt.modeling_unipt import pool_tokens
from tests.helpers.people import draw_person

WIDTH, LAYERS, PROJECTION = 64, 2, 24


def convert(*arguments):
    parsed = make_parser().parse_args(["convert", *map(str, arguments)])
    parsed.run(parsed)


@pytest.fixture
def tokenizer_folder(tiny_tokenizer, tmp_path):
    tiny_tokenizer.save_pretrained(tmp_path / "tokenizer")
    return tmp_path / "tokenizer"


def authors_state(words, positions=9):
    """Random tensors under the names of the authors' code; biases and scales too, so that a mix-up shows."""
    torch.manual_seed(0)
    state = {
        "transformer.cls_token": torch.randn(1, 1, WIDTH),
        "transformer.pos_embed": torch.randn(1, 1 + positions, WIDTH),
        "transformer.patch_embed.proj.weight": torch.randn(WIDTH, 3, 16, 16) / 28,
        "transformer.patch_embed.proj.bias": torch.randn(WIDTH),
    }

    def norm(name):
        state[f"{name}.weight"], state[f"{name}.bias"] = 1 + torch.randn(WIDTH) / 4, torch.randn(WIDTH) / 4

    def linear(name, rows, columns):
        state[f"{name}.weight"] = torch.randn(rows, columns) / columns**0.5
        state[f"{name}.bias"] = torch.randn(rows) / 4

    norm("transformer.norm")
    for number in range(LAYERS):
        vision, text = f"transformer.blocks.{number}", f"text_model.encoder.layer.{number}"
        for name in ("norm1", "norm2"):
            norm(f"{vision}.{name}")
        shapes = (("attn.qkv", 3 * WIDTH, WIDTH), ("attn.proj", WIDTH, WIDTH))
        for name, *shape in (*shapes, ("mlp.fc1", 96, WIDTH), ("mlp.fc2", WIDTH, 96)):
            linear(f"{vision}.{name}", *shape)
        for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            linear(f"{text}.{name}", WIDTH, WIDTH)
        linear(f"{text}.intermediate.dense", 96, WIDTH)
        linear(f"{text}.output.dense", WIDTH, 96)
        norm(f"{text}.attention.output.LayerNorm")
        norm(f"{text}.output.LayerNorm")
    for name, rows in (("word", words), ("position", 64), ("token_type", 2)):
        state[f"text_model.embeddings.{name}_embeddings.weight"] = torch.randn(rows, WIDTH)
    norm("text_model.embeddings.LayerNorm")
    linear("img_proj", PROJECTION, WIDTH)
    linear("txt_proj", PROJECTION, WIDTH)
    linear("mlm_score.transform.dense", WIDTH, WIDTH)
    norm("mlm_score.transform.LayerNorm")
    state["mlm_score.decoder.weight"] = state["text_model.embeddings.word_embeddings.weight"].clone()
    state["mlm_score.bias"] = torch.randn(words)
    dropped = ("clip.visual.proj", "token_type_embeddings.weight", "pooler.dense.weight", "transformer.mask_token")
    dropped += (
        "transformer.decoder_blocks.0.norm1.weight",
        "transformer.fc_visual.bias",
        "text_model.pooler.dense.bias",
    )
    return state | {name: torch.zeros(3) for name in dropped}


def authors_image_embeds(state, pixels):
    """The authors' image branch in plain torch: a timm ViT with one head of 64, projected tokens, their maximum."""

    def norm(name, x):
        return F.layer_norm(x, (WIDTH,), state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-6)

    def linear(name, x):
        return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    patches = F.conv2d(
        pixels, state["transformer.patch_embed.proj.weight"], state["transformer.patch_embed.proj.bias"], stride=16
    )
    x = torch.cat([state["transformer.cls_token"].expand(len(pixels), -1, -1), patches.flatten(2).mT], dim=1)
    x = x + state["transformer.pos_embed"]
    for number in range(LAYERS):
        block = f"transformer.blocks.{number}"
        q, k, v = linear(f"{block}.attn.qkv", norm(f"{block}.norm1", x)).chunk(3, dim=-1)
        x = x + linear(f"{block}.attn.proj", (q @ k.mT / WIDTH**0.5).softmax(-1) @ v)
        x = x + linear(f"{block}.mlp.fc2", F.gelu(linear(f"{block}.mlp.fc1", norm(f"{block}.norm2", x))))
    return linear("img_proj", norm("transformer.norm", x)).amax(dim=1)


def authors_text_embeds(state, input_ids):
    config = BertConfig(
        vocab_size=len(state["mlm_score.bias"]), hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=1,
        intermediate_size=96, max_position_embeddings=64,
    )  # fmt: skip
    bert = BertModel(config, add_pooling_layer=False).eval()
    prefix = "text_model."
    mine = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    bert.load_state_dict({name: value for name, value in mine.items() if not name.startswith("pooler")})
    tokens = bert(input_ids).last_hidden_state
    return F.linear(tokens, state["txt_proj.weight"], state["txt_proj.bias"]).amax(dim=1)


def test_the_authors_checkpoint_embeds_as_their_code_does(tiny_tokenizer, tokenizer_folder, tmp_path, capsys, caplog):
    state = authors_state(len(tiny_tokenizer)) | {"transformer.mystery": torch.ones(1)}
    torch.save({"state_dict": state, "epoch": 14, "global_step": 7, "optimizer_states": [{}]}, tmp_path / "last.ckpt")
    convert("authors", tmp_path / "last.ckpt", "--output", tmp_path / "out", "--tokenizer", tokenizer_folder)
    told = capsys.readouterr().out
    assert "unknown to this layout and left out: 1 tensors: transformer.mystery" in told
    assert "left out, of no use to UniPT: 7 tensors: clip.visual.proj, " in told
    model, processor = load_unipt(tmp_path / "out", model_class=UniPTForPreTraining)
    pixels, ids = torch.randn(2, 3, 48, 48), torch.randint(len(tiny_tokenizer), (2, 9))
    with torch.no_grad():
        images = model.unipt.get_image_features(pixels).pooler_output
        texts = model.unipt.get_text_features(ids).pooler_output
    torch.testing.assert_close(images, authors_image_embeds(state, pixels), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(texts, authors_text_embeds(state, ids), rtol=1e-4, atol=1e-5)
    assert model.unipt.similarity_scale() == 1 and not model.config.learnable_logit_scale
    assert torch.equal(model.mlm_head.decoder.bias, state["mlm_score.bias"])
    assert torch.equal(model.mlm_head.dense.weight, state["mlm_score.transform.dense.weight"])
    assert processor(images=[draw_person(0)], return_tensors="pt")["pixel_values"].shape == (1, 3, 384, 128)
    # The authors' code gives texts to BERT as they are.
    untidy = ["a &quot;man&quot; in\u00a0red"]
    assert processor.caption_form == "as-is"
    assert processor(text=untidy)["input_ids"] == processor.tokenizer(untidy)["input_ids"]
    assert load_unipt(tmp_path / "out")[0].config.vision_pooling == "max"
    caplog.set_level("INFO", "modeling_unipt")
    convert("authors", tmp_path / "last.ckpt", "--output", tmp_path / "out", "--tokenizer", tokenizer_folder)
    assert "already complete" in caplog.text and not capsys.readouterr().out


def test_an_untied_decoder_keeps_its_own_values_and_a_missing_one_is_told(
    tokenizer_folder, tiny_tokenizer, tmp_path, capsys
):
    state = authors_state(len(tiny_tokenizer))
    state["mlm_score.decoder.weight"] = torch.randn_like(state["mlm_score.decoder.weight"])
    torch.save({"state_dict": state}, tmp_path / "a.ckpt")
    convert("authors", tmp_path / "a.ckpt", "--output", tmp_path / "untied", "--tokenizer", tokenizer_folder)
    model, _ = load_unipt(tmp_path / "untied", model_class=UniPTForPreTraining)
    assert torch.equal(model.mlm_head.decoder.weight, state["mlm_score.decoder.weight"])
    words = state["text_model.embeddings.word_embeddings.weight"]
    assert torch.equal(model.get_input_embeddings().weight, words)
    torch.save({"state_dict": {name: t for name, t in state.items() if "mlm_score" not in name}}, tmp_path / "b.ckpt")
    convert("authors", tmp_path / "b.ckpt", "--output", tmp_path / "none", "--tokenizer", tokenizer_folder)
    assert "missing: the head of masked language modelling" in capsys.readouterr().out
    assert torch.equal(load_unipt(tmp_path / "none")[0].get_input_embeddings().weight, words)


@pytest.fixture
def clip(tiny_clip_folder):
    """A CLIP with heads of 64, on the tokenizer of ``tiny_clip_folder``, and its tensors in OpenAI's names."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_clip_folder)
    size = {"hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 1, "intermediate_size": 4 * WIDTH}
    special = {
        "bos_token_id": len(tokenizer) - 2,
        "eos_token_id": len(tokenizer) - 1,
        "pad_token_id": len(tokenizer) - 1,
    }
    text = {
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 77,
        "projection_dim": PROJECTION,
        **special,
        **size,
    }
    vision = {"image_size": 48, "patch_size": 16, "projection_dim": PROJECTION, **size}
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=PROJECTION)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((parameter + torch.randn_like(parameter) * 0.05).half())  # IRRA saves float16
    return model, openai_names(model)


def openai_names(model):
    parts = {
        "visual.class_embedding": model.vision_model.embeddings.class_embedding,
        "visual.conv1.weight": model.vision_model.embeddings.patch_embedding.weight,
        "visual.positional_embedding": model.vision_model.embeddings.position_embedding.weight,
        "visual.proj": model.visual_projection.weight.T,
        "token_embedding.weight": model.text_model.embeddings.token_embedding.weight,
        "positional_embedding": model.text_model.embeddings.position_embedding.weight,
        "text_projection": model.text_projection.weight.T,
        "logit_scale": model.logit_scale,
    }
    norms = {
        "visual.ln_pre": model.vision_model.pre_layrnorm,
        "visual.ln_post": model.vision_model.post_layernorm,
        "ln_final": model.text_model.final_layer_norm,
    }
    for prefix, tower in (("visual.", model.vision_model), ("", model.text_model)):
        for number, layer in enumerate(tower.encoder.layers):
            block, attention = f"{prefix}transformer.resblocks.{number}", layer.self_attn
            heads = (attention.q_proj, attention.k_proj, attention.v_proj)
            parts[f"{block}.attn.in_proj_weight"] = torch.cat([head.weight for head in heads])
            parts[f"{block}.attn.in_proj_bias"] = torch.cat([head.bias for head in heads])
            norms |= {f"{block}.attn.out_proj": attention.out_proj, f"{block}.ln_1": layer.layer_norm1}
            norms |= {f"{block}.ln_2": layer.layer_norm2, f"{block}.mlp.c_fc": layer.mlp.fc1}
            norms[f"{block}.mlp.c_proj"] = layer.mlp.fc2
    for name, module in norms.items():
        parts[f"{name}.weight"], parts[f"{name}.bias"] = module.weight, module.bias
    return {name: tensor.detach().clone() for name, tensor in parts.items()}


def assert_embeds_as(folder, model, size=(48, 48)):
    """The converted folder embeds as CLIP does: images by their class token, texts by their end."""
    ours, processor = load_unipt(folder)
    inputs = processor(text=["a man", "a woman with a long red coat"], images=[draw_person(0), draw_person(1)])
    inputs = inputs.convert_to_tensors("pt")
    assert inputs["pixel_values"].shape[2:] == size
    # As the tokenizers of CLIP's and IRRA's authors do.
    assert processor.caption_form == "normal"
    with torch.no_grad():
        found = ours(**inputs)
        expected_images = clip_image_embeds(model, inputs["pixel_values"])
        expected = model.get_text_features(inputs["input_ids"], inputs["attention_mask"]).pooler_output
    torch.testing.assert_close(found.image_embeds, F.normalize(expected_images, dim=-1), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.text_embeds, F.normalize(expected, dim=-1), rtol=1e-4, atol=1e-5)
    return ours


def clip_image_embeds(model, pixels):
    """CLIP's image branch with positions of the grid that it holds, square or not."""
    embeddings, vision = model.vision_model.embeddings, model.vision_model
    patches = embeddings.patch_embedding(pixels).flatten(2).mT
    x = torch.cat([embeddings.class_embedding.expand(len(pixels), 1, -1), patches], dim=1)
    x = vision.encoder(inputs_embeds=vision.pre_layrnorm(x + embeddings.position_embedding.weight)).last_hidden_state
    return model.visual_projection(vision.post_layernorm(x[:, 0]))


def test_clip_keeps_its_embeddings_from_a_folder_and_from_openais_names(clip, tiny_clip_folder, tmp_path, capsys):
    model, state = clip
    torch.save(state, tmp_path / "clip.pt")
    convert("clip", tmp_path / "clip.pt", "--output", tmp_path / "file", "--tokenizer", tiny_clip_folder)
    ours = assert_embeds_as(tmp_path / "file", model)
    assert ours.similarity_scale().item() == pytest.approx(float(model.logit_scale.detach().exp()), rel=1e-5)
    model.save_pretrained(tmp_path / "hf")
    AutoTokenizer.from_pretrained(tiny_clip_folder).save_pretrained(tmp_path / "hf")
    AutoImageProcessor.from_pretrained(tiny_clip_folder).save_pretrained(tmp_path / "hf")
    convert("clip", tmp_path / "hf", "--output", tmp_path / "folder")
    assert_embeds_as(tmp_path / "folder", CLIPModel.from_pretrained(tmp_path / "hf"))
    assert "unknown" not in capsys.readouterr().out
    options = ["--pooling", "max", "--image-size", "96", "32"]
    convert("clip", tmp_path / "hf", "--output", tmp_path / "start", *options)
    start, processor = load_unipt(tmp_path / "start")
    assert start.config.vision_pooling == "max"
    pixels = processor(images=[draw_person(0)], return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        tokens = start.visual_projection(start.get_image_features(pixels).last_hidden_state)
    assert pixels.shape[2:] == (96, 32) and tokens.shape[1] == 1 + 6 * 2


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_irra_keeps_its_embeddings_and_its_grid(clip, tiny_clip_folder, tmp_path, suffix, capsys):
    model, state = clip
    positions = torch.randn(1 + 6 * 2, WIDTH).half().float()  # of images of 96 x 32
    state["visual.positional_embedding"] = positions
    del state["logit_scale"]
    irra = {f"base_model.{name}": tensor.half() for name, tensor in state.items()}
    extra = ("classifier.weight", "cross_attn.in_proj_weight", "cross_modal_transformer.resblocks.0.ln_1.weight")
    irra |= {name: torch.zeros(2) for name in (*extra, "ln_pre_t.weight", "mlm_head.fc.bias", "something.new")}
    if suffix == ".pth":
        torch.save({"model": irra, "optimizer": {"state": {}}, "epoch": 59}, tmp_path / "best.pth")
    else:
        save_file({name: tensor.contiguous() for name, tensor in irra.items()}, tmp_path / "best.safetensors")
    convert("irra", tmp_path / f"best{suffix}", "--output", tmp_path / "out", "--tokenizer", tiny_clip_folder)
    told = capsys.readouterr().out
    assert "left out, of no use to UniPT: 5 tensors" in told and "left out: 1 tensors: something.new" in told
    model.vision_model.embeddings.position_embedding.weight = torch.nn.Parameter(positions)
    ours = assert_embeds_as(tmp_path / "out", model, (96, 32))
    assert ours.similarity_scale().item() == pytest.approx(50, rel=1e-5) and ours.dtype == torch.float32


class Malice:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("writer", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
@pytest.mark.parametrize("layout", ["authors", "clip", "irra"])
def test_a_checkpoint_that_would_run_code_is_refused_and_does_not_run(layout, writer, tmp_path):
    state = {"state_dict": {"weight": torch.ones(1)}, "callbacks": Malice(tmp_path / "ran")}
    writer(state, tmp_path / "evil.ckpt")
    with pytest.raises(UserError, match="holds more than tensors, .* so it is refused; .* save its state_dict alone"):
        convert(layout, tmp_path / "evil.ckpt", "--output", tmp_path / "out")
    assert not (tmp_path / "ran").exists() and not list(tmp_path.glob("out*"))
    torch.load(tmp_path / "evil.ckpt", weights_only=False) if writer is torch.save else pickle.loads(
        (tmp_path / "evil.ckpt").read_bytes()
    )
    assert (tmp_path / "ran").exists(), "the file was harmless, so the test showed nothing"


def test_mistakes_are_told(clip, tiny_clip_folder, tiny_unipt_folder, tokenizer_folder, tmp_path):
    model, state = clip
    output = ["--output", tmp_path / "out", "--tokenizer", tiny_clip_folder]
    torch.save(state, tmp_path / "clip.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    torch.save({name: tensor for name, tensor in state.items() if ".ln_1." not in name}, tmp_path / "less.pt")
    torch.save(state | {"visual.positional_embedding": torch.ones(1 + 7, WIDTH)}, tmp_path / "overlap.pt")
    torch.save(state | {"ln_final.weight": torch.ones(3)}, tmp_path / "shape.pt")
    (tmp_path / "torn.pt").write_bytes((tmp_path / "clip.pt").read_bytes()[:1000])
    (tmp_path / "lfs.pth").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    (tmp_path / "page.pt").write_text("<!doctype html><title>Google Drive - Virus scan warning</title>")
    for arguments, message in (
        (["irra", tmp_path / "no.pth", *output], "no.pth does not exist or is not a file"),
        (["irra", tmp_path / "lfs.pth", *output], "lfs.pth is a Git LFS pointer to a file of 12,345 bytes"),
        (["clip", tmp_path / "page.pt", *output], "page.pt is a web page .*Virus scan warning"),
        (["clip", tmp_path / "list.pt", *output], "holds no named tensors"),
        (["clip", tmp_path / "torn.pt", *output], "torn.pt cannot be read"),
        (
            ["authors", tmp_path / "clip.pt", *output],
            "not a pre-training checkpoint of UniPT's authors, or not all of it",
        ),
        (
            ["irra", tmp_path / "clip.pt", *output],
            "not an IRRA checkpoint.* missing: base_model.visual.class_embedding",
        ),
        (["clip", tmp_path / "less.pt", *output], r"8 tensors are missing: visual.transformer.resblocks.0.ln_1.weight"),
        (["clip", tmp_path / "overlap.pt", *output], "positions for 7 patches, neither a square nor"),
        (
            ["clip", tmp_path / "shape.pt", *output],
            r"1 tensors are wrong: text_model.final_layer_norm.weight .\(3,\), not",
        ),
        (
            ["clip", tmp_path / "clip.pt", *output, "--image-size", "50", "48"],
            "50 x 48 pixels cannot be cut into patches",
        ),
        (["clip", tmp_path / "clip.pt", *output[:3], tokenizer_folder], "tokens and the checkpoint's vocabulary"),
        (["clip", tmp_path / "clip.pt", *output[:3], tmp_path / "none"], "tokenizer .*none cannot be loaded"),
        (["clip", tiny_unipt_folder, *output], "holds a unipt model, not CLIP"),
        (["clip", "./nowhere", *output], "CLIP model ./nowhere cannot be loaded"),
        (["clip", tmp_path / "clip.pt", *output, "--pooling", "means"], r"'means'; it must be .* .did you mean 'mean'"),
    ):
        with pytest.raises(UserError, match=message):
            convert(*arguments)
        assert not list(tmp_path.glob("out*"))


def test_the_last_token_is_the_texts_and_the_first_the_images():
    tokens = torch.arange(24.0).reshape(2, 4, 3)
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
    assert torch.equal(pool_tokens(tokens, mask, "last"), torch.stack([tokens[0, 1], tokens[1, 3]]))
    assert torch.equal(pool_tokens(tokens, None, "first"), tokens[:, 0])


def test_the_help_names_every_pooling(capsys):
    with pytest.raises(SystemExit):
        make_parser().parse_args(["convert", "--help"])
    told = " ".join(capsys.readouterr().out.split())
    names = f"{', '.join(list(POOLINGS)[:-1])} or {list(POOLINGS)[-1]}"
    assert f"how the tokens become one embedding: {names} (default: as trained)" in told
