"""The tokenizer of a model together with its chat template."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from tokenizers import Encoding

from tpad.errors import ModelError, one_line
from tpad.mllm.chat_template import DEFAULT_TEMPLATE, ChatTemplate
from tpad.mllm.prompts import PromptRenderer

MAX_SEQUENTIAL = 64
"""Up to this many strings are tokenized one by one. The tokenizer's threads would otherwise compete
with the threads of torch, which costs more time than they save."""


class ChatTokenizer:
    """Converts conversations and answers to tokens and back.

    Args:
        processor: the model's processor, or its tokenizer if it sees no pictures. A tokenizer without a
            chat template gets a plain one, which is saved with it.
        end_ids: further tokens that end an answer, from the model's generation config.

    Attributes:
        renderer: renders conversations as strings.
        pad_id: the padding token.
        stop_ids: tokens that end an answer.
    """

    def __init__(self, processor: Any, end_ids: Sequence[int]) -> None:
        tokenizer = getattr(processor, "tokenizer", processor)
        if not getattr(tokenizer, "is_fast", False):
            raise ModelError(
                "The model's tokenizer has no character offsets; use a checkpoint with a fast one."
            )
        self._tokenizer = tokenizer
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_padding()
        self._backend.no_truncation()
        pad = tokenizer.pad_token_id
        self.pad_id: int = tokenizer.eos_token_id if pad is None else pad
        if self.pad_id is None:
            raise ModelError(
                "The model's tokenizer has neither a padding token nor an end token; use the "
                "tokenizer that the model was published with."
            )
        start = tokenizer("")["input_ids"][:1]
        self._bos: list[int] = start if start == [tokenizer.bos_token_id] else []
        sees = tokenizer is not processor
        if not sees and not tokenizer.chat_template:
            tokenizer.chat_template = DEFAULT_TEMPLATE
        self.renderer = PromptRenderer(
            ChatTemplate(default_template(processor), tokenizer.special_tokens_map),
            processor.image_token if sees else None,
            [*tokenizer.all_special_tokens, *tokenizer.get_added_vocab()],
            tokenizer.eos_token or "",
        )
        self._answer_parts = self.renderer.answer_parts()
        ends = {*end_ids, tokenizer.eos_token_id, int(self.tokenize_answers([""])[0][-1])}
        self.stop_ids: set[int] = {i for i in (*ends, pad) if i is not None}

    def encode(self, strings: list[str]) -> list[Encoding]:
        """Tokens with character offsets, without added special tokens.

        Raises:
            ModelError: the tokenizer fails, for example because its patterns take too long.
        """
        try:
            if len(strings) <= MAX_SEQUENTIAL:
                return [self._backend.encode(text, add_special_tokens=False) for text in strings]
            return self._backend.encode_batch(strings, add_special_tokens=False)
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # raised by Rust, not an Exception
                raise
            raise ModelError(
                f"The model's tokenizer cannot read a text ({one_line(error)}); use the tokenizer "
                "that the model was published with."
            ) from error

    def bos_ids(self, string: str) -> list[int]:
        """The tokens that the tokenizer puts before a text, unless the chat template did so."""
        started = self._bos and string.startswith(self._tokenizer.bos_token)
        return [] if started else list(self._bos)

    def tokenize_answers(self, answers: Sequence[str]) -> list[np.ndarray]:
        """The tokens of each answer as they occur in a conversation, end token included."""
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
        return self._tokenizer.decode(ids, skip_special_tokens=True).strip()


def default_template(processor: Any) -> Any:
    """The template to use when none is named; a processor may have several."""
    template = processor.chat_template
    return template.get("default") if isinstance(template, dict) else template
