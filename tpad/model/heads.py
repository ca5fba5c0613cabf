"""The small heads that split features into a transitional and an intrinsic part [paper: disentangle].

All parts are bounded (layer-normalised, or probabilities): with free features, vCLUB could be driven
to minus infinity.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tpad.settings import Count, Share, settings


@settings
class HeadsConfig:
    """Sizes of the heads."""

    tau: Count = 96
    """Size of the transitional part."""
    nu: Count = 160
    """Size of the intrinsic part, where that is no words."""
    words: bool = True
    """Whether the intrinsic part is what the student would say of the item (a probability a word),
    from which the transitional part is computed; otherwise both are heads over all features."""
    hidden: Count = 384
    """Hidden units of a head."""
    dropout: Share = 0.2
    """Dropout on the features that the heads read."""


class Head(nn.Module):
    """Features (n, d_in) -> one normalised part (n, d_out): a linear path plus an MLP.

    The linear path lets the facts of an item add up, which carries over to combinations that were
    never clicked.
    """

    def __init__(self, d_in: int, d_out: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(d_in, d_out)
        self.mlp = nn.Sequential(
            nn.Linear(d_in, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, d_out)
        )
        self.norm = nn.LayerNorm(d_out, elementwise_affine=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.linear(x) + self.mlp(x))  # (n, d_out)


class KnowledgeHeads(nn.Module):
    """`k → (k_tau, k_nu)` for items.

    With `config.words`, what is read from `k` passes through words: a linear layer on the last token
    gives the probability that each word of the shop's vocabulary describes the item. That is `k_nu`,
    and `k_tau` is computed from it [ours]. An item that was trained on and one that was not then look
    alike to what follows; heads over raw features know the former by heart and misread the latter.

    Vectors that the shop has of its items help to name the words, and are a part of `k_nu` themselves.

    Args:
        d: size of the concatenated, standardised item features.
        d_last: size of the last token's feature, which comes last in them, but for given vectors; 0
            where nothing else is read.
        n_words: size W of the vocabulary.
        config: sizes.
        n_given: size of the given vectors, which come last.
    """

    def __init__(
        self, d: int, d_last: int, n_words: int, config: HeadsConfig, n_given: int = 0
    ) -> None:
        super().__init__()
        self.config = config
        self.n_given, self.d_named = n_given, d_last + n_given
        self.dropout = nn.Dropout(config.dropout)
        self.describe = nn.Linear(self.d_named, n_words) if config.words else None
        d_in, self.nu_width = (n_words, n_words + n_given) if config.words else (d, config.nu)
        self.tau_width = config.tau
        sizes = (config.hidden, config.dropout)
        self.tau = Head(d_in, self.tau_width, *sizes)
        self.nu = None if config.words else Head(d, config.nu, *sizes)
        self.width = self.tau_width + self.nu_width

    def forward(self, k: Tensor) -> tuple[Tensor, Tensor]:
        """(n, d) -> tau (n, h_tau) and nu (n, h_nu)."""
        if self.nu is None:
            said = self.words(k).sigmoid()  # (n, W)
            tau = self.tau(self.dropout(said))
            given = k[:, k.shape[1] - self.n_given :]  # (n, n_given)
            return tau, torch.cat([said, given], dim=1)
        k = self.dropout(k)
        return self.tau(k), self.nu(k)

    def words(self, k: Tensor) -> Tensor:
        """Log-odds of each word as a part of the item's description: (n, d) -> (n, W)."""
        assert self.describe is not None, "heads without words name none"
        return self.describe(k[:, k.shape[1] - self.d_named :])

    def represent(self, k: Tensor) -> Tensor:
        """The modal representation `[k_nu ; k_tau]`, (n, width)."""
        tau, nu = self(k)
        return torch.cat([nu, tau], dim=-1)


class TransferHeads(nn.Module):
    """`t → (t_tau, t_nu)` for sessions and for items read as sessions of one."""

    def __init__(self, d: int, config: HeadsConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(d)
        self.tau, self.nu = (Head(d, config.tau, config.hidden, config.dropout) for _ in range(2))

    def forward(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(n, d) -> tau and nu, (n, h_tau) each."""
        t = self.norm(t)
        return self.tau(t), self.nu(t)


class Intrinsic(nn.Module):
    """The own objective of an intrinsic part that is no words: describe and reconstruct [ours].

    From `k_nu` alone, a linear layer names the words of the item's description, and another one
    gives the frozen features back. Without it a narrow bottleneck forgets what does not help to
    predict clicks.
    """

    def __init__(self, nu: int, words: int, d: int) -> None:
        super().__init__()
        self.describe = nn.Linear(nu, words)
        self.reconstruct = nn.Linear(nu, d)

    def forward(self, nu: Tensor, words: Tensor, features: Tensor) -> Tensor:
        """Loss of nu (n, h_nu) for words (n, W) in 0/1 and standardised features (n, d)."""
        back = F.mse_loss(self.reconstruct(nu), features)
        return 0.1 * naming_loss(self.describe(nu), words) + back


def naming_loss(log_odds: Tensor, words: Tensor) -> Tensor:
    """Cross-entropy in nats an item, of log-odds (n, W) for words in 0/1 (n, W).

    A sum over words: each fact counts as much in a large vocabulary as in a small one.
    """
    return F.binary_cross_entropy_with_logits(log_odds, words, reduction="none").sum(1).mean()


def description_words(answers: list, warm_rows, min_items: int = 5) -> tuple[list[int], Tensor]:
    """Which tokens each description holds.

    Args:
        answers: token ids of each item's description.
        warm_rows: rows whose descriptions choose the vocabulary.
        min_items: a token counts if at least this many warm items have it, and not all.

    Returns:
        The vocabulary (token ids) and a (n_items, W) 0/1 matrix.
    """
    sets = [set(ids.tolist()) for ids in answers]
    count: dict[int, int] = {}
    for row in warm_rows:
        for token in sets[row]:
            count[token] = count.get(token, 0) + 1
    vocabulary = sorted(t for t, n in count.items() if min_items <= n < len(warm_rows))
    vocabulary = vocabulary or [0]
    place = {token: i for i, token in enumerate(vocabulary)}
    words = torch.zeros(len(answers), len(vocabulary))
    for row, tokens in enumerate(sets):
        for token in tokens:
            if token in place:
                words[row, place[token]] = 1.0
    return vocabulary, words
