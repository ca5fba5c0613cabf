"""Choose the device and the number format that a model computes in."""

import time
from functools import cache

import torch

from tpad.errors import ConfigError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(device: str) -> torch.device:
    """The named device; for "auto", CUDA if it is available, else the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"There is no device {device!r}; use auto, cpu or cuda.") from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError("The device is set to cuda, but torch finds no CUDA here; use auto.")
    return chosen


def choose_dtypes(dtype: str, device: torch.device) -> tuple[torch.dtype, torch.dtype, torch.dtype]:
    """The dtypes for inference, for `autocast()` and of the weights; see `MLLM`."""
    if dtype not in (*DTYPES, "auto"):
        raise ConfigError(f"There is no dtype {dtype!r}; use auto, {', '.join(DTYPES)}.")
    if device.type == "cpu":
        if dtype == "auto":
            return torch.float32, faster_cpu_dtype(), torch.float32
        return DTYPES[dtype], DTYPES[dtype], torch.float32
    if dtype == "auto":
        dtype = "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
    return DTYPES[dtype], DTYPES[dtype], DTYPES[dtype]


@cache
def faster_cpu_dtype() -> torch.dtype:
    """float32 or bfloat16, whichever multiplies matrices faster on this CPU; takes about 50 ms.

    It is measured in processor time, so that other programs on the machine do not matter.
    """

    def seconds(dtype: torch.dtype) -> float:
        matrix = torch.ones(512, 512, dtype=dtype)
        times = []
        for _ in range(5):  # the first warms up
            start = time.process_time()
            matrix @ matrix
            times.append(time.process_time() - start)
        return min(times[1:])

    return min((torch.float32, torch.bfloat16), key=seconds)
