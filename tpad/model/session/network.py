"""The network of the session recommender.

**[paper: a session model over the item representations; ours: its architecture]** The score of item j is
the scaled dot product of the session's state with the projected features `x_j`. Optionally, warm items
have an ID embedding, which is dropped at random, so that cold items are not at a disadvantage. After
training, a cold item can be given the mean ID embedding of warm items like it
(`FittedSessionModel.with_stand_ins`).

There are two projections of `x`: one for items *in* the session, and one for *candidates*. Transitions
between items are directed, so the two may differ. With few clicks an item, one shared ID embedding
(`tied`) and the mean of the session with a learned decay (no `layers`) generalise better.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tpad.errors import ConfigError
from tpad.settings import Count, CountOrZero, Share, Weight, settings


@settings
class SessionModelConfig:
    """Settings of the network and its training; the same for every embedding set."""

    width: Count = 96
    """Size h of states and projected items."""
    hidden: Count = 192
    """Hidden size of the two projection MLPs."""
    layers: CountOrZero = 1
    """Transformer blocks. With 0, the state is the mean of the items, weighted by a learned decay."""
    tied: bool = False
    """Whether an item has the same ID embedding in sessions and as a candidate."""
    heads: Count = 4
    """Attention heads; must divide `width`."""
    dropout: Share = 0.1
    """Dropout inside the blocks and the projections."""
    feature_dropout: Share = 0.0
    """Dropout on the item features themselves."""
    max_length: Count = 20
    """Maximum number of items of a session, the most recent ones."""
    item_bias: bool = False
    """Whether each warm item has a learned bias. Without it, popularity is predicted from the features,
    which works for cold items too."""
    id_embedding: bool = False
    """Whether each warm item has a learned ID embedding, in addition to its features."""
    id_dropout: Share = 0.5
    """Probability that an item's ID embedding is dropped in a training step."""
    mask_seen: bool = True
    """Whether items of the session are excluded from the candidates and targets, as in ranking."""
    pca: Count | None = None
    """Size to which PCA reduces the features; None keeps all features."""
    epochs: Count = 20
    """Maximum number of passes over the training sessions."""
    batch_size: Count = 256
    """Sessions per step."""
    learning_rate: Weight = 3e-3
    """Peak learning rate of AdamW (linear warm-up, then cosine decay)."""
    weight_decay: Weight = 2.0
    """Weight decay of AdamW on matrices; norms, biases and scales are exempt."""
    patience: Count = 5
    """Number of epochs without a better validation MRR@20 after which training stops."""
    seed: CountOrZero = 0
    """Seed of initialisation, order of sessions, and dropout."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ConfigError(
                f"heads={self.heads} must divide width={self.width}; change one of them."
            )


class _Projection(nn.Module):
    """Features (n, d) -> (n, h): the sum of a linear layer and an MLP with one hidden layer.

    In the linear layer, the effects of an item's facts add up, which generalises to combinations of
    facts that were never clicked. The MLP models their interactions.
    """

    def __init__(self, n_features: int, config: SessionModelConfig) -> None:
        super().__init__()
        self.feature_dropout = nn.Dropout(config.feature_dropout)
        self.linear = nn.Linear(n_features, config.width)
        self.mlp = nn.Sequential(
            nn.Linear(n_features, config.hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.width),
        )

    def forward(self, features: Tensor) -> Tensor:
        features = self.feature_dropout(features)  # (n, d)
        return self.linear(features) + self.mlp(features)  # (n, h)


class _Block(nn.Module):
    """Causal pre-norm transformer block with a learned bias per head and distance."""

    def __init__(self, config: SessionModelConfig) -> None:
        super().__init__()
        width = config.width
        self.heads, self.dropout = config.heads, config.dropout
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)
        self.distance_bias = nn.Parameter(torch.zeros(config.heads, config.max_length))
        self.mlp = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(2 * width, width),
            nn.Dropout(config.dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        query, key, value = (
            part.view(batch, length, self.heads, -1).transpose(1, 2)  # (B, heads, L, h / heads)
            for part in self.qkv(self.attention_norm(x)).chunk(3, dim=-1)
        )
        step = torch.arange(length, device=x.device)
        distance = step[:, None] - step[None, :]  # (L, L), from the query back to the key
        bias = self.distance_bias[:, distance.clamp(min=0)]  # (heads, L, L)
        bias = bias.masked_fill(distance < 0, float("-inf"))  # causal mask
        mixed = F.scaled_dot_product_attention(
            query, key, value, attn_mask=bias, dropout_p=self.dropout if self.training else 0.0
        )  # (B, heads, L, h / heads)
        mixed = self.attention_out(mixed.transpose(1, 2).reshape(batch, length, width))
        x = x + F.dropout(mixed, self.dropout, self.training)  # (B, L, h)
        return x + self.mlp(x)


class SessionModel(nn.Module):
    """Scores all items as the next item of a session; features alone are sufficient.

    A table of features may have more rows than `warm`: the further items are new, and cold.

    Args:
        n_features: size d of the item features, after the `FeatureScaler`.
        warm: (n_items,) bool, items of the training sessions; only these have a bias or an ID embedding.
        config: settings.
    """

    warm: Tensor

    def __init__(self, n_features: int, warm: Tensor, config: SessionModelConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("warm", warm.clone().bool())
        self.input_projection = _Projection(n_features, config)
        self.input_norm = nn.LayerNorm(config.width)
        self.output_projection = _Projection(n_features, config)
        if config.layers:
            # Distances identify the last item, but only absolute positions identify the first one.
            self.positions = nn.Parameter(0.02 * torch.randn(config.max_length, config.width))
        else:
            self.decay = nn.Parameter(torch.zeros(()))
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.layers))
        self.state_norm = nn.LayerNorm(config.width)
        self.log_scale = nn.Parameter(torch.tensor(-0.5 * math.log(config.width)))
        if config.item_bias:
            self.bias = nn.Parameter(torch.zeros(len(warm)))
        if config.id_embedding and not config.tied:
            self.input_ids = nn.Parameter(self._first_ids())
        if config.id_embedding:
            self.output_ids = nn.Parameter(self._first_ids())

    def _first_ids(self) -> Tensor:
        """Random ID embeddings, zero for cold items: (n_items, h)."""
        ids = 0.02 * torch.randn(len(self.warm), self.config.width)
        return ids * self.warm[:, None].to(ids.device)

    @property
    def ids(self) -> list[nn.Parameter]:
        """The ID embeddings of items in sessions and as candidates, (n_items, h) each; empty without them."""
        return [self._input_ids, self.output_ids] if self.config.id_embedding else []

    @property
    def by_item(self) -> list[nn.Parameter]:
        """Parameters with one row for each item."""
        names = ("input_ids", "output_ids", "bias")
        return [getattr(self, name) for name in names if hasattr(self, name)]

    def item_inputs(
        self, table: Tensor, *, first: int = 0, new: bool = False, ids: Tensor | None = None
    ) -> Tensor:
        """Project items as elements of a session: (n_items, d) -> (n_items, h).

        Args:
            table: scaled features of consecutive items.
            first: row of the first of these items.
            new: whether these are new items, which the model was not trained on.
            ids: (n_items, h) ID embeddings of new items; zero by default.
        """
        x = self.input_projection(table)
        if ids is not None:
            x = x + ids
        elif self.config.id_embedding and not new:
            x = self._add_ids(x, self._input_ids, first)
        return F.dropout(self.input_norm(x), self.config.dropout, self.training)

    def some_inputs(self, table: Tensor, rows: Tensor) -> Tensor:
        """`item_inputs` of some items; the gradients of ID embeddings are sparse.

        Args:
            table: (n, d) scaled features.
            rows: (n,) int64, rows of the items.
        """
        x = self.input_projection(table)  # (n, h)
        if self.config.id_embedding:
            x = x + self._ids_of(self._input_ids, rows)
        return F.dropout(self.input_norm(x), self.config.dropout, self.training)

    def item_vectors(
        self, table: Tensor, *, first: int = 0, new: bool = False, ids: Tensor | None = None
    ) -> Tensor:
        """Project items as candidates: (n_items, d) -> (n_items, h + 1); the last column is the bias.

        Arguments as in `item_inputs`.
        """
        x = self.output_projection(table)  # (n_items, h)
        if ids is not None:
            x = x + ids
        elif self.config.id_embedding and not new:
            x = self._add_ids(x, self.output_ids, first)
        return torch.cat([x, self._biases(len(x), first, new)[:, None]], dim=1)

    def some_vectors(self, table: Tensor, rows: Tensor) -> Tensor:
        """`item_vectors` of some warm items; the gradients of ID embeddings and biases are sparse.

        Args:
            table: (n, d) scaled features.
            rows: (n,) int64, rows of the items.
        """
        x = self.output_projection(table)  # (n, h)
        if self.config.id_embedding:
            x = x + self._ids_of(self.output_ids, rows)
        biases = x.new_zeros(len(x))
        if self.config.item_bias:
            biases = self.bias.gather(0, rows, sparse_grad=True)
        return torch.cat([x, biases[:, None]], dim=1)

    def session_vectors(self, states: Tensor) -> Tensor:
        """States (…, h) -> session vectors (…, h + 1); their dot products with item vectors are the scores."""
        ones = torch.ones_like(states[..., :1])
        return torch.cat([states * self.log_scale.exp(), ones], dim=-1)

    def encode(self, elements: Tensor) -> Tensor:
        """Projected sessions (B, L, h), padded at the end -> states after each element (B, L, h)."""
        if not self.blocks:
            return self.state_norm(self._decayed_mean(elements))
        elements = elements + self.positions[: elements.shape[1]]
        for block in self.blocks:
            elements = block(elements)
        return self.state_norm(elements)

    def forward(self, table: Tensor, sessions: Tensor) -> Tensor:
        """States after each element of each session.

        Args:
            table: (n_items, d) scaled item features; gradients flow back into it.
            sessions: (B, L) int64 item rows, padded at the end with values below 0; L <= max_length.

        Returns:
            States (B, L, h); ignore those at padded positions.
        """
        # `embedding` instead of indexing, whose gradient depends on the order of threads: then equal
        # seeds would not give equal models.
        elements = F.embedding(sessions.clamp(min=0), self.item_inputs(table))  # (B, L, h)
        return self.encode(elements)

    def scores(self, states: Tensor, item_vectors: Tensor) -> Tensor:
        """Scores from states (…, h) and item vectors (n_items, h + 1): (…, n_items)."""
        return self.session_vectors(states) @ item_vectors.T

    def _decayed_mean(self, elements: Tensor) -> Tensor:
        """Mean of the elements up to each one, the weight falling by a constant factor each step back.

        Only its direction matters, because it is normalised afterwards; so it is not divided by the
        sum of the weights.
        """
        step = torch.arange(elements.shape[1], device=elements.device)
        distance = (step[:, None] - step[None, :]).clamp(min=0)  # (L, L)
        return torch.exp(-F.softplus(self.decay) * distance).tril() @ elements  # (B, L, h)

    @property
    def _input_ids(self) -> nn.Parameter:
        return self.output_ids if self.config.tied else self.input_ids

    def _add_ids(self, x: Tensor, ids: Tensor, first: int) -> Tensor:
        ids = (ids * self._keep(self.warm)[:, None])[first : first + len(x)]  # (n_known, h)
        return x + F.pad(ids, (0, 0, 0, len(x) - len(ids)))

    def _ids_of(self, ids: Tensor, rows: Tensor) -> Tensor:
        """ID embeddings of some items; zero if dropped: (n,) -> (n, h)."""
        return F.embedding(rows, ids, sparse=True) * self._keep(self.warm[rows])[:, None]

    def _keep(self, warm: Tensor) -> Tensor:
        """Which ID embeddings are used: (n,) bool -> (n,) bool."""
        if not self.training:
            return torch.ones_like(warm)  # those of cold items are zero, or means of warm ones
        return warm & (torch.rand(len(warm), device=warm.device) >= self.config.id_dropout)

    def _biases(self, n_items: int, first: int, new: bool) -> Tensor:
        """Biases (n_items,); items without clicks get that of the mean popularity."""
        unclicked = self.log_scale.new_zeros(())
        biases = self.log_scale.new_zeros(len(self.warm))
        if self.config.item_bias:
            known = self.bias[self.warm]
            unclicked = torch.logsumexp(known, 0) - math.log(len(known))
            biases = self.bias
        if new:
            return unclicked.expand(n_items)
        biases = torch.where(self.warm, biases, unclicked)[first : first + n_items]  # (n_known,)
        return torch.cat([biases, unclicked.expand(n_items - len(biases))])
