"""Runs only the first layers of a language model, when no later one is needed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


@contextmanager
def first_layers(model: Any, count: int) -> Iterator[list[Tensor]]:
    """A context in which the language model ends after its first layers, without the last norm.

    Args:
        model: a Hugging Face model.
        count: number of layers to run, fewer than the model has.

    Yields:
        A list that gets the states (B, L, d) after the last layer of each forward pass. Qwen3-VL adds
        features of pictures to the states after that, and so to `last_hidden_state`.
    """
    decoder = model.get_decoder()
    layers, norm = decoder.layers, decoder.norm
    states: list[Tensor] = []
    decoder.layers, decoder.norm = layers[:count], nn.Identity()
    source = decoder.layers[-1] if count else decoder.norm
    handle = source.register_forward_hook(lambda module, inputs, output: states.append(output))
    try:
        yield states
    finally:
        handle.remove()
        decoder.layers, decoder.norm = layers, norm
