"""Where the parts of TPAD's representation lie, read from a bundle without loading any model."""

import json
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from tpad.errors import BundleError

PARTS_OF = "tpad"  # the embedding set that has parts


@dataclass(frozen=True)
class Parts:
    """Columns of each part in `[k_nu ; k_tau ; fields]`.

    Attributes:
        nu: the intrinsic part, what an item looks like and is said to be.
        tau: the transitional part, what tends to come before and after it.
        fields: price and category; empty where they don't join.
    """

    nu: slice
    tau: slice
    fields: slice

    @property
    def width(self) -> int:
        """Number of columns of all parts."""
        return self.fields.stop


def read_parts(folder: str | Path) -> Parts | None:
    """The parts of the set `PARTS_OF` of a bundle.

    Args:
        folder: of the bundle, with the files that `ItemEncoder.save` wrote.

    Returns:
        None where the encoder is not an `ItemEncoder`.

    Raises:
        BundleError: the encoder's files are missing or damaged.
    """
    from tpad.model.plain_features import field_count  # brings scikit-learn

    folder = Path(folder)
    try:
        facts = json.loads((folder / "encoder.json").read_text("utf-8"))
        if "heads" not in facts:
            return None
        nu, tau = int(facts["heads"]["nu"]), int(facts["heads"]["tau"])
        if facts["heads"]["words"]:  # k_nu is then one number for each word of the vocabulary
            with safe_open(folder / "heads.safetensors", framework="numpy") as file:
                nu = file.get_slice("heads.describe.weight").get_shape()[0]
            nu += (facts.get("given") or {}).get("width", 0)  # given vectors are a part of it
        categories = facts["categories"]
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise BundleError(
            f"The encoder in {folder} is incomplete or damaged ({error}); export it again."
        ) from error
    fields = 0 if categories is None else field_count(categories)
    return Parts(slice(0, nu), slice(nu, nu + tau), slice(nu + tau, nu + tau + fields))
