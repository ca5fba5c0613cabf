"""A trained session network: scores and vectors, new items, and its state."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from tpad.errors import BundleError, DataError
from tpad.io.saved_state import built, under
from tpad.model.scaler import FeatureScaler
from tpad.model.session.batching import pad_sessions
from tpad.model.session.item_tables import take
from tpad.model.session.network import SessionModel, SessionModelConfig

CHUNK = 512  # prefixes scored at once
ITEMS = 65_536  # items whose vectors are computed at once
MERGE = 4  # tables are merged when the added items exceed this fraction (1/4) of the first ones


@dataclass(frozen=True)
class EpochReport:
    """The result of one epoch."""

    epoch: int
    """Number of the epoch, from 1."""
    epochs: int
    """Maximum number of epochs."""
    loss: float
    """Mean cross-entropy in nats over the training cases."""
    validation: float
    """MRR@20 on the validation cases; NaN if there are none."""


@dataclass(frozen=True, eq=False)
class _Items:
    """Tables of consecutive items."""

    features: np.ndarray  # (n, n_features) float32; NaN for items without features
    inputs: Tensor  # (n, h)
    vectors: Tensor  # (n, h + 1)

    def followed_by(self, other: "_Items") -> "_Items":
        return _Items(
            np.concatenate([self.features, other.features]),
            torch.cat([self.inputs, other.inputs]),
            torch.cat([self.vectors, other.vectors]),
        )


class FittedSessionModel:
    """A trained session recommender with the features of the items it ranks.

    Args:
        network: the trained network.
        scaler: transforms the features before the network.
        features: (n_items, n_features) float32; rows beyond those of the network are new items.
        history: reports of the training epochs.
    """

    def __init__(
        self,
        network: SessionModel,
        scaler: FeatureScaler,
        features: np.ndarray,
        history: Sequence[EpochReport] = (),
    ) -> None:
        known = len(network.warm)
        if features.ndim != 2 or features.shape[1] != scaler.n_features or len(features) < known:
            raise BundleError(
                f"The session model was trained on {known} items with {scaler.n_features} features "
                f"each, but was given features of shape {features.shape}; use those of its bundle."
            )
        self.network, self.scaler = network.eval(), scaler.eval()
        self.history = tuple(history)
        # Added items have a table of their own, so that adding an item does not copy a large table.
        self._parts: tuple[_Items, ...] = (
            self._items(np.ascontiguousarray(features, dtype=np.float32)),
        )

    @property
    def config(self) -> SessionModelConfig:
        return self.network.config

    @property
    def n_items(self) -> int:
        return sum(len(part.features) for part in self._parts)

    @property
    def features(self) -> np.ndarray:
        """Features of all items, (n_items, n_features) float32; this may copy, unlike `features_of`."""
        parts = [part.features for part in self._parts]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    @property
    def item_vectors(self) -> np.ndarray:
        """Vectors of all items, (n_items, h + 1) float32; dot products with session vectors are scores."""
        parts = [part.vectors.cpu().numpy() for part in self._parts]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def features_of(self, rows: np.ndarray) -> np.ndarray:
        """Features of some items: (n,) -> (n, n_features) float32."""
        return take([part.features for part in self._parts], rows)

    def vectors_of(self, rows: np.ndarray) -> np.ndarray:
        """Rows of `item_vectors`: (n,) -> (n, h + 1) float32."""
        vectors = [part.vectors for part in self._parts]
        return (
            take(vectors, torch.as_tensor(rows, dtype=torch.long).to(vectors[0].device))
            .cpu()
            .numpy()
        )

    def match(self, session_vector: np.ndarray) -> np.ndarray:
        """Scores (n_items,) float32 of a session vector (h + 1,); −inf for an item without features."""
        scores = np.concatenate([p.vectors.cpu().numpy() @ session_vector for p in self._parts])
        scores[np.isnan(scores)] = -np.inf
        return scores

    def session_vectors(
        self,
        prefixes: Sequence[np.ndarray],
        new: np.ndarray | None = None,
        stand_ins: sparse.csr_array | None = None,
    ) -> np.ndarray:
        """Vectors of sessions.

        Args:
            prefixes: arrays of item rows, not empty, the most recent item last.
            new: (n_new, n_features) features of elements that are not candidates, such as an
                uploaded picture; in `prefixes`, their rows start at `n_items`.
            stand_ins: of the new elements, as in `with_new_items`.

        Returns:
            (n, h + 1) float32.
        """
        inputs = [part.inputs for part in self._parts]
        if new is not None and len(new):
            with torch.inference_mode():
                table, (ids, _) = self._new_table(new), self._ids_of(stand_ins)
                inputs.append(self.network.item_inputs(table, new=True, ids=ids))
        parts = [np.zeros((0, self._parts[0].vectors.shape[1]), np.float32)]
        parts += [self._session_vectors(chunk, inputs).cpu().numpy() for chunk in chunks(prefixes)]
        return np.concatenate(parts)

    def scores(self, prefixes: Sequence[np.ndarray]) -> np.ndarray:
        """Scores of all items as the next item: (n, n_items) float32, without masking."""
        result = np.empty((len(prefixes), self.n_items), np.float32)
        inputs = [part.inputs for part in self._parts]
        start = 0
        with torch.inference_mode():
            for chunk in chunks(prefixes):
                sessions, end = self._session_vectors(chunk, inputs), 0  # (chunk, h + 1)
                for part in self._parts:
                    begin, end = end, end + len(part.features)
                    scores = sessions @ part.vectors.T  # (chunk, n_part)
                    result[start : start + len(chunk), begin:end] = scores.cpu().numpy()
                start += len(chunk)
        return result

    def encode_new(
        self, features: np.ndarray, stand_ins: sparse.csr_array | None = None
    ) -> np.ndarray:
        """Vectors of new items: (n, n_features) -> (n, h + 1) float32; arguments as in `with_new_items`."""
        with torch.inference_mode():
            table, (_, ids) = self._new_table(features), self._ids_of(stand_ins)
            return self.network.item_vectors(table, new=True, ids=ids).cpu().numpy()

    def standardised(self, features: np.ndarray) -> np.ndarray:
        """Standardised features, the input of the network: (n, n_features) -> (n, n_outputs) float32."""
        with torch.inference_mode():
            return self._new_table(features).cpu().numpy()

    def with_stand_ins(self, stand_ins: sparse.csr_array) -> "FittedSessionModel":
        """A copy in which unclicked items have the mean ID embeddings of clicked ones **[ours]**.

        Without it, they have none, and are scored by their features alone.

        Args:
            stand_ins: (n_items, n_items) weights of clicked items, see `tpad.model.session.stand_ins`.
        """
        if not self.config.id_embedding:
            return self
        network = copy.deepcopy(self.network)
        rows = np.flatnonzero(~network.warm.cpu().numpy())
        with torch.no_grad():
            for table in network.ids:
                table[rows] = _means(stand_ins[rows], table)
        return FittedSessionModel(network, self.scaler, self.features, self.history)

    def with_new_items(
        self, features: np.ndarray, stand_ins: sparse.csr_array | None = None
    ) -> "FittedSessionModel":
        """A copy with new items appended to those that it ranks; nothing is retrained.

        Args:
            features: (n, n_features).
            stand_ins: (n, n_known) weights of clicked items, whose mean ID embedding a new item gets; by
                default it has none.
        """
        new = self._items(self._checked(features), new=True, ids=self._ids_of(stand_ins))
        first, more = self._parts[0], [*self._parts[1:], new]
        added = more[0] if len(more) == 1 else more[0].followed_by(more[1])
        model = copy.copy(self)  # shares the network and the scaler
        joined = len(added.features) > len(first.features) // MERGE
        model._parts = (first.followed_by(added),) if joined else (first, added)
        return model

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors of the network and the scaler, with the prefixes `network.` and `scaler.`."""
        state = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        state |= {f"scaler.{name}": value for name, value in self.scaler.state_dict().items()}
        return {name: value.detach().cpu().contiguous() for name, value in state.items()}

    @classmethod
    def restored(
        cls,
        state: dict[str, Tensor],
        config: SessionModelConfig,
        features: np.ndarray,
        history: Sequence[EpochReport] = (),
    ) -> "FittedSessionModel":
        """The model whose `state_dict` was saved.

        Args:
            state: the tensors.
            config: settings.
            features: (n_items, n_features), the features of training.
            history: reports of the training epochs.

        Raises:
            BundleError: the features do not match.
            RuntimeError, ValueError: the tensors do not match the settings, or are not finite.
        """
        network, scaler = _restored(state, config)
        model = cls(network, scaler, features, history)
        model._check_numbers()
        return model

    def _check_numbers(self) -> None:
        """Raise a `ValueError` if vectors of items with features, or of a session, are not finite."""
        known = np.isfinite(self.features).all(1)
        sessions = self.session_vectors([np.zeros(1, int)] if known[:1].all() else [])
        if not np.isfinite(self.item_vectors[known]).all() or not np.isfinite(sessions).all():
            raise ValueError("its vectors contain NaN or infinity")

    def _ids_of(self, stand_ins: sparse.csr_array | None) -> tuple[Tensor | None, Tensor | None]:
        """Mean ID embeddings, for sessions and for candidates: (n, n_known) -> (n, h) each."""
        if stand_ins is None or not self.config.id_embedding:
            return None, None
        of_inputs, of_outputs = self.network.ids
        return _means(stand_ins, of_inputs), _means(stand_ins, of_outputs)

    def _items(
        self,
        features: np.ndarray,
        *,
        new: bool = False,
        ids: tuple[Tensor | None, Tensor | None] = (None, None),
    ) -> _Items:
        """Compute the tables of items in chunks, to limit the memory of hidden layers."""
        n, device = len(features), self.network.log_scale.device
        width = self.config.width
        inputs = torch.empty(n, width, device=device)
        vectors = torch.empty(n, width + 1, device=device)
        with torch.inference_mode():
            for start in range(0, n, ITEMS):
                part = slice(start, start + ITEMS)
                table = self.scaler(torch.from_numpy(features[part]).to(device))  # (chunk, d)
                own = [None if one is None else one[part] for one in ids]
                inputs[part] = self.network.item_inputs(table, first=start, new=new, ids=own[0])
                vectors[part] = self.network.item_vectors(table, first=start, new=new, ids=own[1])
        return _Items(features, inputs, vectors)

    def _checked(self, features: np.ndarray) -> np.ndarray:
        features = np.ascontiguousarray(features, dtype=np.float32)
        if features.ndim != 2 or features.shape[1] != self.scaler.n_features:
            raise DataError(
                f"New items need features of shape (n, {self.scaler.n_features}), not "
                f"{features.shape}."
            )
        return features

    def _new_table(self, features: np.ndarray) -> Tensor:
        """Scaled features of new items."""
        features = self._checked(features)
        return self.scaler(torch.from_numpy(features).to(self.network.log_scale.device))

    def _session_vectors(self, prefixes: Sequence[np.ndarray], inputs: Sequence[Tensor]) -> Tensor:
        with torch.inference_mode():
            rows, last = pad_sessions([p[-self.config.max_length :] for p in prefixes])
            shape, device = rows.shape, inputs[0].device
            known = rows.clamp(min=0).flatten().to(device)
            elements = take(inputs, known).view(*shape, -1)  # (n, L, h)
            states = self.network.encode(elements)  # (n, L, h)
            final = states[torch.arange(len(rows), device=device), last.to(device)]  # (n, h)
            return self.network.session_vectors(final)


def _restored(
    state: dict[str, Tensor], config: SessionModelConfig
) -> tuple[SessionModel, FeatureScaler]:
    """Build network and scaler from a file, after comparing its tensors with the settings."""
    layers = {name.split(".")[2] for name in state if name.startswith("network.blocks.")}
    if config.layers != len(layers):
        raise ValueError(f"the settings have {config.layers} layers, but the file {len(layers)}")
    components = state.get("scaler.components")
    n_outputs = None if components is None else len(components)
    scaler = built(
        lambda: FeatureScaler(len(state["scaler.mean"]), n_outputs), under("scaler.", state)
    )
    warm = state["network.warm"]
    if warm.dtype != torch.bool or warm.ndim != 1:
        raise ValueError("network.warm is not a list of bools")
    network = built(lambda: SessionModel(scaler.n_outputs, warm, config), under("network.", state))
    return network, scaler


def _means(stand_ins: sparse.csr_array, ids: Tensor) -> Tensor:
    """Weighted means of ID embeddings: (n, n_known), (n_known, h) -> (n, h)."""
    return torch.from_numpy(stand_ins @ ids.detach().cpu().numpy()).to(ids)


def chunks(prefixes: Sequence[np.ndarray], most: int = CHUNK) -> list[Sequence[np.ndarray]]:
    """Consecutive parts of at most `most` prefixes, and never more than `CHUNK`."""
    size = min(most, CHUNK)
    return [prefixes[start : start + size] for start in range(0, len(prefixes), size)]
