"""Columns of the parts of TPAD's representation, read from a bundle without loading a model."""

import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from tpad.errors import BundleError

PARTS_OF = "tpad"  # the embedding set that has parts


@dataclass(frozen=True)
class Parts:
    """Columns of each part of `[k_nu ; k_tau ; fields]`.

    Attributes:
        nu: the intrinsic part, which represents the item's look and description.
        tau: the transitional part, which represents what is clicked before and after the item.
        fields: price and category; empty if they are not used.
    """

    nu: slice
    tau: slice
    fields: slice

    @property
    def width(self) -> int:
        """Number of columns of all parts."""
        return self.fields.stop


def read_parts(folder: str | Path) -> Parts | None:
    """Read the parts of the embedding set `PARTS_OF` of a bundle.

    Args:
        folder: folder of the bundle.

    Returns:
        The parts; None if the encoder is not an `ItemEncoder`.

    Raises:
        BundleError: the encoder's files are missing or damaged.
    """
    from tpad.model.plain_features import field_count  # imports scikit-learn, which is slow

    folder = Path(folder)
    try:
        facts = json.loads((folder / "encoder.json").read_text("utf-8"))
        if "heads" not in facts:
            return None
        nu, tau = int(facts["heads"]["nu"]), int(facts["heads"]["tau"])
        if facts["heads"]["words"]:  # then k_nu has one number per word of the vocabulary
            with safe_open(folder / "heads.safetensors", framework="numpy") as file:
                nu = file.get_slice("heads.describe.weight").get_shape()[0]
            nu += (facts.get("given") or {}).get("width", 0)  # k_nu includes given vectors
        categories = facts["categories"]
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise BundleError(
            f"The encoder in {folder} is incomplete or damaged ({error}); export it again."
        ) from error
    fields = 0 if categories is None else field_count(categories)
    return Parts(slice(0, nu), slice(nu, nu + tau), slice(nu + tau, nu + tau + fields))
