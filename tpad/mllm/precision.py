"""Where a model computes, and in which number format."""

import time
from functools import cache

import torch

from tpad.errors import ConfigError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def choose_device(device: str) -> torch.device:
    """CUDA where there is one, unless a device is named."""
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
    """(dtype for exact work, for fast work, of the weights); see the class."""
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
    """float32 or bfloat16, whichever multiplies matrices faster here; takes some 50 ms.

    Measured in processor time, so that what else runs on the machine does not matter.
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
