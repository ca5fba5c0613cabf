"""The input and the output of a forward pass."""

from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from tpad.errors import ModelError
from tpad.mllm.image_cache import ImageCache
from tpad.mllm.processors import Pixels

IGNORED = -100
"""The label of a token that is not a target."""


@dataclass
class Batch:
    """`B` conversations of at most `L` tokens and `T` turns.

    Attributes:
        input_ids: (B, L) token ids.
        attention_mask: (B, L) 1 for tokens, 0 for padding.
        position_ids: (B, L), Qwen (3, B, L); padding is not counted.
        markers: (B, T) index of the last token before the assistant's reply of each turn, or of the
            user's message if there is no reply; -1 if there is no such turn.
        image_mask: (B, L) whether it is an image token.
        text_mask: (B, L) whether it belongs to the item's own text.
        answer_mask: (B, L) whether it belongs to a given reply, including its end token.
        labels: (B, L) token ids of the replies, -100 elsewhere; None unless requested.
        vision: the images in order of appearance, as pixels or as cached features; None if there
            are none.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    position_ids: torch.Tensor
    markers: torch.Tensor
    image_mask: torch.Tensor
    text_mask: torch.Tensor
    answer_mask: torch.Tensor
    labels: torch.Tensor | None = None
    vision: Pixels | ImageCache | None = None

    def __len__(self) -> int:
        return len(self.input_ids)

    def to(self, device: torch.device) -> "Batch":
        moved = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: v.to(device) for k, v in moved.items() if v is not None})

    @property
    def n_labels(self) -> int:
        """Number of label tokens that the loss averages over, see `Output.n_targets`."""
        return 0 if self.labels is None else int((self.labels[:, 1:] != IGNORED).sum())

    @property
    def last_tokens(self) -> torch.Tensor:
        """(B,) index of the last token of each conversation whose reply is open."""
        return self.markers.max(1).values

    @property
    def next_positions(self) -> torch.Tensor:
        """(B,) position of the token that follows `last_tokens`."""
        rows = torch.arange(len(self), device=self.input_ids.device)
        positions = self.position_ids.reshape(-1, *self.input_ids.shape)[0]  # (B, L)
        return positions[rows, self.last_tokens] + 1


@dataclass
class Output:
    """The result of a forward pass.

    Attributes:
        hidden: layer -> (B, L, d) states; 0 = input embeddings, `num_layers` = after the last norm.
        last_hidden: (B, L, d), states of the last layer that was run, see `MLLM.forward`.
        logits: (B, L, V). If the batch has labels, (M, V) for the M label tokens only, since the
            product with the vocabulary is expensive. None if not needed.
        targets: (M,) the label tokens; None without labels.
        cache: keys and values, if requested.
    """

    hidden: dict[int, torch.Tensor]
    last_hidden: torch.Tensor
    logits: torch.Tensor | None = None
    targets: torch.Tensor | None = None
    cache: Any = None

    @property
    def n_targets(self) -> int:
        """M, the number of tokens that the loss averages over."""
        return 0 if self.targets is None else len(self.targets)

    @property
    def loss(self) -> torch.Tensor:
        """Mean cross-entropy over all label tokens."""
        if self.logits is None or self.targets is None:
            raise ModelError("There is no loss without labels; collate with with_labels=True.")
        return torch.nn.functional.cross_entropy(self.logits.float(), self.targets)
