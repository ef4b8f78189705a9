"""Texts passed in groups of like length give what one padded pass gives, forward and backward."""

import pytest
import torch

from unipt_train.objectives.text_passes import passes_by_length, text_features


def texts(lengths, seed=0):
    random = torch.Generator().manual_seed(seed)
    mask = (torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]).long()
    return torch.randint(5, 50, mask.shape, generator=random) * mask, mask


@pytest.fixture(params=[0, 2], ids=["pooled", "prototypes"])
def unipt(request, tiny_config):
    from modeling_unipt import UniPTModel

    torch.manual_seed(0)
    sizes = {"num_prototypes": request.param}
    if request.param:
        sizes |= {"prototype_dim": 8, "prototype_heads": 2, "prototype_head_dim": 4, "prototype_mlp_dim": 8}
    return UniPTModel(tiny_config(**sizes)).double().eval()


def test_passes_share_the_texts_and_leave_padding_out():
    lengths = [3, 20, 4, 5, 19, 20, 3, 4] * 5
    _, mask = texts(lengths)
    passes = passes_by_length(mask)
    assert sorted(torch.cat([rows for rows, _ in passes]).tolist()) == list(range(40))
    for rows, end in passes:
        assert max(lengths[row] for row in rows) == end
    ends = [end for _, end in passes]
    assert ends == sorted(ends) and ends[0] < 5
    assert sum(len(rows) * end for rows, end in passes) < 0.7 * mask.numel()


@pytest.mark.parametrize("lengths", [[4, 9, 2, 12, 7] * 5, [6] * 16, [9, 3, 5]], ids=["mixed", "alike", "few"])
def test_they_are_those_of_one_pass(unipt, lengths):
    input_ids, mask = texts(lengths)
    weights = torch.randn(len(lengths), unipt.config.embedding_dim, dtype=torch.float64)
    found = []
    for encode in (unipt.get_text_features, lambda *given: text_features(unipt, *given)):
        unipt.zero_grad()
        features = encode(input_ids, mask)
        tokens = features.last_hidden_state * mask[:, :, None]
        loss = (features.pooler_output * weights).sum() + features.global_output.square().sum() + tokens.sin().sum()
        loss.backward()
        gradients = {name: p.grad.clone() for name, p in unipt.named_parameters() if p.grad is not None}
        found.append((features.pooler_output, features.global_output, tokens, gradients))
    one, several = found
    for whole, parted in zip(one[:3], several[:3], strict=True):
        assert torch.allclose(whole, parted, rtol=1e-10, atol=1e-12)
    assert one[3].keys() == several[3].keys()
    for name, gradient in one[3].items():
        assert torch.allclose(gradient, several[3][name], rtol=1e-9, atol=1e-10), name


def test_a_gpu_gets_one_pass():
    """By device type alone: meta tensors stand for a GPU's."""

    class Encoder:
        def get_text_features(self, *given):
            return given

    input_ids, mask = (tensor.to("meta") for tensor in texts([3, 9] * 20))
    assert text_features(Encoder(), input_ids, mask) == (input_ids, mask)
