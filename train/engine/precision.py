"""Whether a device has instructions for bfloat16; without them it computes much slower so than in float32."""


def has_native_bfloat16(device_type):
    """Whether matrices are multiplied natively in bfloat16 on a device of a type as ``torch.device.type`` names it."""
    import torch

    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device_type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
