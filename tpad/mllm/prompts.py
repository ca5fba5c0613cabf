"""What the model reads: items shown in a chat, rendered through the model's own chat template.

A template is run once per *structure* of a conversation (which turns have a picture, a text, an
answer) with placeholders instead of the contents; the result is cut at the placeholders and filled.
So rendering a conversation is string concatenation, and the place of every part is known exactly.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image

from tpad.errors import ModelError


@dataclass(frozen=True)
class ItemInput:
    """What the model reads of one item; either part may be missing.

    Attributes:
        image: a picture, or the row of the `ImageCache` that is given along, or None.
        text: title and whatever else is written about the item; "" = none.
    """

    image: Image.Image | int | None = None
    text: str = ""


@dataclass(frozen=True)
class Turn:
    """One user turn of a chat: an item is shown, with an instruction.

    Attributes:
        item: the item shown.
        instruction: what is asked about it ("" = nothing, the item alone).
        answer: the assistant's reply. None as the last turn of a conversation: the reply is open,
            and the prompt ends where it would begin. None in an earlier turn: the user goes on
            without a reply. "" = an empty reply, which closes the turn and is never a label.
    """

    item: ItemInput
    instruction: str = ""
    answer: str | None = None


Conversation = Sequence[Turn]
Span = tuple[int, int]


@dataclass(frozen=True)
class Rendered:
    """A conversation as one string, and where its parts are (character offsets, end exclusive).

    Attributes:
        string: the prompt, with one placeholder string per picture already expanded.
        texts: per turn, the item's own text; None if it has none.
        answers: per turn, the reply with its lead-in space and its end token; None if not given.
        markers: per turn, where the reply begins or would begin: the last token before it is the
            turn's marker.
        ends: per turn, where the next turn begins.
    """

    string: str
    texts: tuple[Span | None, ...]
    answers: tuple[Span | None, ...]
    markers: tuple[int, ...]
    ends: tuple[int, ...]


# A conversation's structure: for each turn, has it an image, a text, an instruction, an answer?
_Shapes = tuple[tuple[bool, ...], ...]
_KINDS = ("image", "text", "instruction", "answer")
# Stands for the contents of one part; private use characters are in no template.
_SLOT = re.compile("\ue000(\\d+)-(\\w+)\ue001")


def _slot(turn: int, kind: str) -> str:
    return f"\ue000{turn}-{kind}\ue001"


@dataclass(frozen=True)
class _Piece:
    """Part of a cut template: a literal, a slot to fill, or a mark whose place is wanted."""

    what: str  # "literal", "mark", or one of _KINDS
    turn: int = 0
    string: str = ""  # of a literal; the name of a mark


class PromptRenderer:
    """Renders conversations and knows where their parts lie.

    Args:
        apply_template: (messages, add_generation_prompt) -> string, the model's own chat template.
        image_token: what the template writes where a picture belongs.
        reserved: strings with a meaning of their own to the tokenizer; in texts they are broken up,
            so that a title like "<image>" is read as text.
        fallback_end: the end token to close an answer where the template writes none (LLaVA).
    """

    def __init__(
        self,
        apply_template: Callable[[list[dict], bool], str],
        image_token: str,
        reserved: Sequence[str],
        fallback_end: str,
    ) -> None:
        self._apply_template = apply_template
        self._image_token = image_token
        self._fallback_end = fallback_end
        longest_first = sorted((s for s in reserved if len(s.strip()) > 1), key=len, reverse=True)
        self._reserved = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        self._layouts: dict[tuple[_Shapes, bool], list[_Piece]] = {}

    def clean(self, text: str | None) -> str:
        """The text as the model may see it: stripped, special tokens broken up by a space."""
        return self._reserved.sub(lambda m: f"{m[0][0]} {m[0][1:]}", (text or "").strip())

    def render(
        self, conversation: Conversation, open_ended: bool, expansions: Sequence[str | None]
    ) -> Rendered:
        """The conversation as a string, with the place of each part.

        Args:
            open_ended: whether the prompt ends with the opening of the assistant's reply; the last
                turn's answer is then left out.
            expansions: per turn, what stands for its picture (None = no picture).
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

    def answer_parts(self) -> tuple[str, str, str]:
        """(context, lead, end): after `context`, an answer is read as `lead + answer + end`.

        `context` is the end of the prompt, since its last special token. A candidate is tokenized
        behind it, so that it gets the tokens it would get in the whole prompt.
        """
        contents = [(None, None, "?", "?")]
        rendered = self._fill(self._layout(((False, False, True, True),), False), contents)
        start, end = rendered.answers[0] or (0, 0)
        context = self._reserved.split(rendered.string[:start])[-1]
        lead, _, tail = rendered.string[start:end].partition("?")
        return context, lead, tail

    def _layout(self, shapes: _Shapes, open_ended: bool) -> list[_Piece]:
        if (shapes, open_ended) not in self._layouts:
            self._layouts[shapes, open_ended] = self._cut(shapes, open_ended)
        return self._layouts[shapes, open_ended]

    def _cut(self, shapes: _Shapes, open_ended: bool) -> list[_Piece]:
        """Run the template on a structure and cut the result into pieces."""
        whole = self._skeleton(shapes, open_ended)
        slots = [(int(m[1]), m[2], m.start(), m.end()) for m in _SLOT.finditer(whole)]
        given = [(n, _KINDS[k]) for n, s in enumerate(shapes) for k in range(4) if s[k]]
        if [slot[:2] for slot in slots] != given:
            raise ModelError(
                "The model's chat template leaves out or reorders parts of a turn; use a "
                "checkpoint whose template shows picture, text and answer in this order."
            )
        # Pieces with the offset where they stand; at one offset they keep the order of `rank`.
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
            else:  # a template that opens replies in another way than it closes them
                marker = whole.find(_slot(turn, "answer")) if answered else len(whole)
            placed.append((marker, 2, _Piece("mark", turn, "marker")))
            closed = self._skeleton(shapes[: turn + 1], False)
            end = len(closed) if not last and whole.startswith(closed) else len(whole)
            placed.append((end, 2, _Piece("mark", turn, "end")))
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
        """The template's output with a slot for each part."""
        messages: list[dict] = []
        for turn, (image, text, instruction, answer) in enumerate(shapes):
            kinds = [k for k, there in (("text", text), ("instruction", instruction)) if there]
            words = "\n".join(_slot(turn, kind) for kind in kinds)
            content: list[dict] = [{"type": "image"}] if image else []
            if words or not image:
                content.append({"type": "text", "text": words})
            messages.append({"role": "user", "content": content})
            if answer:
                reply = {"type": "text", "text": _slot(turn, "answer")}
                messages.append({"role": "assistant", "content": [reply]})
        string = self._apply_template(messages, open_ended)
        turns = iter([turn for turn, shape in enumerate(shapes) if shape[0]])
        return re.sub(re.escape(self._image_token), lambda _: _slot(next(turns), "image"), string)

    @staticmethod
    def _fill(pieces: list[_Piece], contents: list[tuple]) -> Rendered:
        turns = len(contents)
        out: list[str] = []
        at = 0
        texts: list[Span | None] = [None] * turns
        marks = {name: [0] * turns for name in ("marker", "end", "answer end")}
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
        return Rendered(
            "".join(out), tuple(texts), answers, tuple(marks["marker"]), tuple(marks["end"])
        )
