"""In which precision a model computes, by what its device does natively."""

import torch


def has_native_bfloat16(device_type: str) -> bool:
    """Whether devices of a type multiply matrices natively in bfloat16; the others are much slower in it.

    Args:
        device_type: as ``torch.device.type`` names it.
    """
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # torch has no public question for a CPU; oneDNN, which multiplies its matrices, knows the instructions.
    return device_type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def pick_precision(wanted: str, cpu: bool = False) -> str:
    """The name of a precision, as Accelerate takes it: "no", "bf16" or "fp16".

    Args:
        wanted: one of these, or "auto": bf16 where GPU or CPU computes in it natively, else fp16 on a GPU and no on a
            CPU.
        cpu: whether the run stays on the CPU even where there is a GPU.
    """
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available() and not cpu:
        return "bf16" if has_native_bfloat16("cuda") else "fp16"
    return "bf16" if has_native_bfloat16("cpu") else "no"


def convolve_in_float32(model: torch.nn.Module) -> None:
    """Have a model cut its patches in float32 on a CPU: bfloat16 takes up to twice as long there, mostly backward."""
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.forward = torch.autocast("cpu", enabled=False)(module.forward)
