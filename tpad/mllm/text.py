"""Strings to tokens and back: chat template, tokenizer and the answers' exact tokens."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tpad.errors import ModelError, one_line
from tpad.mllm.chat_template import ChatTemplate
from tpad.mllm.prompts import PromptRenderer

ONE_BY_ONE = 64
"""So few strings are tokenised one after the other: the tokenizer's threads would fight with those of
torch, which still wait for the model's next layer, and cost more than they save."""


class TextReader:
    """A model's tokenizer with its chat template.

    Args:
        processor: the model's processor.
        end_ids: further tokens that end an answer, from the model's generation config.

    Attributes:
        renderer: conversations to strings.
        pad_id: the padding token.
        stop_ids: tokens that end an answer.
    """

    def __init__(self, processor: Any, end_ids: Sequence[int]) -> None:
        tokenizer = processor.tokenizer
        if not getattr(tokenizer, "is_fast", False):
            raise ModelError("The model's tokenizer gives no character offsets; use a fast one.")
        self.tokenizer = tokenizer
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_padding()
        self._backend.no_truncation()
        pad = tokenizer.pad_token_id
        self.pad_id: int = tokenizer.eos_token_id if pad is None else pad
        start = tokenizer("")["input_ids"][:1]
        self._bos: list[int] = start if start == [tokenizer.bos_token_id] else []
        self.renderer = PromptRenderer(
            ChatTemplate(_template_of(processor), tokenizer.special_tokens_map),
            processor.image_token,
            [*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()],
            tokenizer.eos_token or "",
        )
        self._answer_parts = self.renderer.answer_parts()
        ends = {*end_ids, tokenizer.eos_token_id, int(self.tokenize_answers([""])[0][-1])}
        self.stop_ids: set[int] = {i for i in (*ends, pad) if i is not None}

    def encode(self, strings: list[str]) -> list:
        """Tokens with character offsets, nothing added.

        Raises:
            ModelError: the tokenizer fails; its patterns give up on a text that takes too long.
        """
        try:
            if len(strings) <= ONE_BY_ONE:
                return [self._backend.encode(text, add_special_tokens=False) for text in strings]
            return self._backend.encode_batch(strings, add_special_tokens=False)
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # of Rust, and no Exception
                raise
            raise ModelError(
                f"The model's tokenizer cannot read a text ({one_line(error)}); use the model's own."
            ) from error

    def bos_ids(self, string: str) -> list[int]:
        """What the tokenizer puts before a text, unless the chat template already did."""
        started = self._bos and string.startswith(self.tokenizer.bos_token)
        return [] if started else list(self._bos)

    def tokenize_answers(self, answers: Sequence[str]) -> list[np.ndarray]:
        """See `MLLM.tokenize_answers`."""
        context, lead, end = self._answer_parts
        strings = [f"{context}{lead}{self.renderer.clean(answer)}{end}" for answer in answers]
        out = []
        for encoding in self.encode(strings):
            stops = [stop for _, stop in encoding.offsets]
            first = int(np.searchsorted(stops, len(context), side="right"))
            out.append(np.asarray(encoding.ids[first:], dtype=np.int64))
        return out

    def decode(self, ids: Sequence[int]) -> str:
        """The text of an answer's tokens."""
        return self.tokenizer.decode(ids, skip_special_tokens=True).strip()


def _template_of(processor: Any) -> Any:
    """The one that is used where none is named; a processor may have several."""
    found = processor.chat_template
    return found.get("default") if isinstance(found, dict) else found
