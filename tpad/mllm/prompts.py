"""Conversations about items, rendered with the model's own chat template.

The template runs once per *structure* of a conversation (which turns have an image, a text, an answer),
with placeholders for the contents. Its output is split at the placeholders. To render a conversation
then means to join strings, and the offset of every part is known exactly.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image

from tpad.errors import ModelError


@dataclass(frozen=True)
class ItemInput:
    """The image and the text of an item; either may be missing.

    Attributes:
        image: a picture, or its row in the `ImageCache` that is passed along, or None.
        text: the title and any other text about the item; may be empty.
    """

    image: Image.Image | int | None = None
    text: str = ""


@dataclass(frozen=True)
class Turn:
    """One turn of a conversation: the user shows an item, and the assistant may reply.

    Attributes:
        item: the item.
        instruction: what is asked about it; may be empty.
        answer: the assistant's reply. If it is None in the last turn, the reply is open, and the prompt
            ends where it would begin. If it is None in an earlier turn, the user continues without a
            reply. An empty reply closes the turn and is never a label.
    """

    item: ItemInput
    instruction: str = ""
    answer: str | None = None


Conversation = Sequence[Turn]
Span = tuple[int, int]


@dataclass(frozen=True)
class Rendered:
    """A conversation as a string, and the offsets of its parts (in characters, end exclusive).

    Attributes:
        string: the prompt, with the image tokens of each image.
        texts: per turn, the item's own text; None if it has none.
        answers: per turn, the reply with its leading space and its end token; None if there is none.
        markers: per turn, where the reply begins or would begin. The last token before it is the
            marker of the turn.
    """

    string: str
    texts: tuple[Span | None, ...]
    answers: tuple[Span | None, ...]
    markers: tuple[int, ...]


# The structure of a conversation: whether each turn has an image, a text, an instruction, an answer.
_Shapes = tuple[tuple[bool, ...], ...]
_KINDS = ("image", "text", "instruction", "answer")
# A placeholder for the content of one part. No template contains these private use characters.
_SLOT = re.compile("\ue000(\\d+)-(\\w+)\ue001")


def _slot(turn: int, kind: str) -> str:
    return f"\ue000{turn}-{kind}\ue001"


@dataclass(frozen=True)
class _Piece:
    """A piece of a template's output: a literal, a placeholder, or a mark whose offset is recorded."""

    what: str  # "literal", "mark", or one of _KINDS
    turn: int = 0
    string: str = ""  # the text of a literal, or the name of a mark


class PromptRenderer:
    """Renders conversations and records the offsets of their parts.

    Args:
        apply_template: (messages, add_generation_prompt) -> string, the model's own chat template.
        image_token: what the template writes for an image; None if the model sees no pictures. Its
            template then gets each content as a string, not as a list of parts.
        reserved: the special tokens. They are broken up in texts, so that a title such as "<image>"
            is read as text.
        fallback_end: the end token of an answer if the template writes none (LLaVA).
    """

    def __init__(
        self,
        apply_template: Callable[[list[dict], bool], str],
        image_token: str | None,
        reserved: Sequence[str],
        fallback_end: str,
    ) -> None:
        self._apply_template = apply_template
        self._image_token = image_token
        self._fallback_end = fallback_end
        longest_first = sorted((s for s in reserved if len(s.strip()) > 1), key=len, reverse=True)
        self._reserved = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        self._layouts: dict[tuple[_Shapes, bool], list[_Piece]] = {}
        self._must_alternate = False
        try:
            self._skeleton(((False, True, False, False),) * 2, False)
        except ModelError:  # Gemma: user and assistant must take turns
            self._must_alternate = True

    def clean(self, text: str | None) -> str:
        """Strip a text, and break up special tokens with a space."""
        return self._reserved.sub(lambda m: f"{m[0][0]} {m[0][1:]}", (text or "").strip())

    def render(
        self, conversation: Conversation, open_ended: bool, expansions: Sequence[str | None]
    ) -> Rendered:
        """Render a conversation as a string.

        Args:
            conversation: at least one turn.
            open_ended: whether the prompt ends with the opening of the assistant's reply; the last
                turn's answer is then left out.
            expansions: per turn, the string that represents its image, or None.

        Raises:
            ModelError: the conversation is empty, or the template omits or reorders parts.
        """
        if not conversation:
            raise ModelError("A conversation needs at least one turn.")
        contents = []
        for turn, expansion in zip(conversation, expansions, strict=True):
            answer = None if turn.answer is None else self.clean(turn.answer)
            text, instruction = self.clean(turn.item.text), self.clean(turn.instruction)
            contents.append((expansion, text or None, instruction or None, answer))
        if open_ended:
            contents[-1] = (*contents[-1][:3], None)
        shapes = tuple(tuple(part is not None for part in content) for content in contents)
        return self._fill(self._layout(shapes, open_ended), contents)

    def render_item(self, item: ItemInput, expansion: str | None) -> Rendered:
        """Picture and text of an item on their own, without the chat template.

        A line break comes first: language models give the first token of a prompt a feature of its own kind,
        which would not belong to the item.

        Args:
            item: the item.
            expansion: the string that represents its picture; None without one.
        """
        text = self.clean(item.text)
        start = "\n" if expansion is None else f"\n{expansion}\n"
        span = (len(start), len(start) + len(text)) if text else None
        return Rendered(start + text, (span,), (None,), (len(start + text) - 1,))

    def answer_parts(self) -> tuple[str, str, str]:
        """(context, lead, end): after `context`, an answer is written as `lead + answer + end`.

        `context` is the part of the prompt after its last special token. An answer that is tokenized
        after it gets the same tokens as in the whole prompt.
        """
        contents = [(None, None, "?", "?")]
        rendered = self._fill(self._layout(((False, False, True, True),), False), contents)
        start, end = rendered.answers[0] or (0, 0)
        context = self._reserved.split(rendered.string[:start])[-1]
        lead, _, tail = rendered.string[start:end].partition("?")
        return context, lead, tail

    def _layout(self, shapes: _Shapes, open_ended: bool) -> list[_Piece]:
        if (shapes, open_ended) not in self._layouts:
            self._layouts[shapes, open_ended] = self._split(shapes, open_ended)
        return self._layouts[shapes, open_ended]

    def _split(self, shapes: _Shapes, open_ended: bool) -> list[_Piece]:
        """Run the template on a structure and split its output into pieces."""
        whole = self._skeleton(shapes, open_ended)
        slots = [(int(m[1]), m[2], m.start(), m.end()) for m in _SLOT.finditer(whole)]
        given = [(n, _KINDS[k]) for n, s in enumerate(shapes) for k in range(4) if s[k]]
        if [slot[:2] for slot in slots] != given:
            raise ModelError(
                "The model's chat template leaves out or reorders parts of a turn; use a "
                "checkpoint whose template writes picture, text and answer in this order."
            )
        # (offset, rank, piece); pieces at the same offset are ordered by rank.
        placed: list[tuple[int, int, _Piece]] = []
        for turn, kind, start, end in slots:
            placed.append((start, 3, _Piece(kind, turn)))
            if kind == "answer":
                closing = re.match(rf"\s*(?:{self._reserved.pattern})", whole[end:])
                if closing:
                    end += closing.end()
                else:
                    placed.append((end, 0, _Piece("literal", string=self._fallback_end)))
                placed.append((end, 1, _Piece("mark", turn, "answer end")))
        for turn, (*question, answered) in enumerate(shapes):
            last = turn == len(shapes) - 1
            replied = answered or (last and open_ended)
            prompt = self._skeleton((*shapes[:turn], (*question, False)), replied)
            if whole.startswith(prompt):
                marker = len(prompt)
            else:  # the template opens a reply differently than it writes a given one
                marker = whole.find(_slot(turn, "answer")) if answered else len(whole)
            placed.append((marker, 2, _Piece("mark", turn, "marker")))
        placed.sort(key=lambda entry: entry[:2])
        pieces, done = [], 0
        for offset, _, piece in placed:
            if offset > done:
                pieces.append(_Piece("literal", string=whole[done:offset]))
            pieces.append(piece)
            width = len(_slot(piece.turn, piece.what)) if piece.what in _KINDS else 0
            done = max(done, offset + width)
        return [*pieces, _Piece("literal", string=whole[done:])]

    def _skeleton(self, shapes: _Shapes, open_ended: bool) -> str:
        """The template's output with a placeholder for each part."""
        messages: list[dict] = []
        for turn, (image, text, instruction, answer) in enumerate(shapes):
            kinds = [k for k, there in (("text", text), ("instruction", instruction)) if there]
            words = "\n".join(_slot(turn, kind) for kind in kinds)
            if self._must_alternate and messages and messages[-1]["role"] == "user":
                messages.append(self._message("assistant", ""))
            messages.append(self._message("user", words, image))
            if answer:
                messages.append(self._message("assistant", _slot(turn, "answer")))
        string = self._apply_template(messages, open_ended)
        if self._image_token is None:
            return string
        turns = iter([turn for turn, shape in enumerate(shapes) if shape[0]])
        return re.sub(re.escape(self._image_token), lambda _: _slot(next(turns), "image"), string)

    def _message(self, role: str, words: str, image: bool = False) -> dict:
        if self._image_token is None:
            return {"role": role, "content": words}
        content: list[dict] = [{"type": "image"}] if image else []
        if words or not image:
            content.append({"type": "text", "text": words})
        return {"role": role, "content": content}

    @staticmethod
    def _fill(pieces: list[_Piece], contents: list[tuple]) -> Rendered:
        turns = len(contents)
        out: list[str] = []
        at = 0
        texts: list[Span | None] = [None] * turns
        marks = {name: [0] * turns for name in ("marker", "answer end")}
        for piece in pieces:
            if piece.what == "mark":
                marks[piece.string][piece.turn] = at
                continue
            string = piece.string
            if piece.what != "literal":
                string = contents[piece.turn][_KINDS.index(piece.what)]
            if piece.what == "text":
                texts[piece.turn] = (at, at + len(string))
            out.append(string)
            at += len(string)
        answers = tuple(
            (marks["marker"][turn], marks["answer end"][turn]) if content[3] else None
            for turn, content in enumerate(contents)
        )
        return Rendered("".join(out), tuple(texts), answers, tuple(marks["marker"]))
