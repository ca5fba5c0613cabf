"""Features of images, computed once by the frozen vision tower and reused by every stage."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tpad.io.files import replacing
from tpad.mllm.hugging_face import BaseModelOutputWithPooling


@dataclass
class ImageCache:
    """The output of the vision tower and the connector for `n` images.

    When a cache is passed along with a conversation, an item refers to its image by row. The cached
    tokens then take the place of the tower's output, so the language model reads the same input.

    Attributes:
        flat: (sum of counts, d) image tokens of all images, concatenated, in the dtype they were
            computed in.
        counts: (n,) number of tokens of each image; 0 for a missing image.
        tower: (n, d_vision) mean over the vision tower's output patches.
        expansions: per image, the string that represents it in the prompt.
        grids: Qwen: (n, 3) frames, rows and columns of patches.
        has_image: (n,) bool.
        deepstack: Qwen3: additional (sum of counts, d) tokens, added in the first layers.
    """

    flat: torch.Tensor
    counts: torch.Tensor
    tower: torch.Tensor
    expansions: list[str]
    grids: torch.Tensor | None = None
    deepstack: tuple[torch.Tensor, ...] = ()

    def __post_init__(self) -> None:
        self._starts = (self.counts.cumsum(0) - self.counts).tolist()
        self._counts = self.counts.tolist()
        self.has_image = np.asarray(self._counts) > 0

    def __len__(self) -> int:
        return len(self.counts)

    def rows(self, rows: Sequence[int]) -> "ImageCache":
        """The images in these rows, in this order; a row may occur more than once."""
        parts = [
            np.arange(self._starts[r], self._starts[r] + self._counts[r], dtype=np.int64)
            for r in rows
        ]
        index = torch.from_numpy(np.concatenate(parts)).to(self.flat.device)
        chosen = torch.as_tensor(list(rows), dtype=torch.long)
        return ImageCache(
            self.flat[index],
            self.counts[chosen],
            self.tower[chosen.to(self.tower.device)],
            [self.expansions[r] for r in rows],
            None if self.grids is None else self.grids[chosen],
            tuple(extra[index] for extra in self.deepstack),
        )

    @classmethod
    def joined(cls, parts: Sequence["ImageCache"]) -> "ImageCache":
        """Concatenate the caches of one model."""
        full = [part for part in parts if part.has_image.any()] or parts[:1]
        grids = None
        if full[0].grids is not None:
            grids = torch.cat(
                [p.counts.new_zeros(len(p), 3) if p.grids is None else p.grids for p in parts]
            )
        return cls(
            torch.cat([part.flat for part in parts]),
            torch.cat([part.counts for part in parts]),
            torch.cat([part.tower for part in parts]),
            [expansion for part in parts for expansion in part.expansions],
            grids,
            tuple(map(torch.cat, zip(*(part.deepstack for part in full), strict=True))),
        )

    def to(self, device: torch.device) -> "ImageCache":
        return ImageCache(
            self.flat.to(device),
            self.counts,
            self.tower.to(device),
            self.expansions,
            self.grids,
            tuple(extra.to(device) for extra in self.deepstack),
        )

    def as_outputs(self) -> BaseModelOutputWithPooling:
        """In the form that the model's own `get_image_features` returns."""
        tokens: Any = list(self.flat.split(self._counts))  # one tensor per image
        out = BaseModelOutputWithPooling(pooler_output=tokens)
        if self.deepstack:
            out["deepstack_features"] = [
                list(extra.split(self._counts)) for extra in self.deepstack
            ]
        return out

    def save(self, path: str | Path) -> None:
        """Write to one safetensors file."""
        tensors = {"flat": self.flat, "counts": self.counts, "tower": self.tower}
        if self.grids is not None:
            tensors["grids"] = self.grids
        tensors |= {f"deepstack.{n}": extra for n, extra in enumerate(self.deepstack)}
        kinds = sorted(set(self.expansions))
        tensors["kinds"] = torch.tensor([kinds.index(e) for e in self.expansions])
        metadata = {f"expansion.{n}": kind for n, kind in enumerate(kinds)}
        with replacing(path) as part:
            save_file({k: v.contiguous().cpu() for k, v in tensors.items()}, part, metadata)

    @classmethod
    def load(cls, path: str | Path) -> "ImageCache":
        """Read a file written by `save`."""
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata()
        expansions = [metadata[f"expansion.{n}"] for n in tensors["kinds"].tolist()]
        names = sorted(name for name in tensors if name.startswith("deepstack."))
        return cls(
            tensors["flat"],
            tensors["counts"],
            tensors["tower"],
            expansions,
            tensors.get("grids"),
            tuple(tensors[name] for name in names),
        )
