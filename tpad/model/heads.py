"""Small heads that split features into a transitional and an intrinsic part [paper: disentangle].

All parts are bounded (layer-normalised, or probabilities), because unbounded features could drive vCLUB
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
    """Size of the intrinsic part if `words` is false."""
    words: bool = True
    """Whether the intrinsic part consists of word probabilities, and the transitional part is computed
    from them. Otherwise each part has a head on all features."""
    hidden: Count = 384
    """Hidden units of a head."""
    dropout: Share = 0.2
    """Dropout on the input of the heads."""


class Head(nn.Module):
    """Features (n, d_in) -> normalised part (n, d_out): the sum of a linear layer and an MLP.

    In the linear layer, the effects of an item's facts add up, which generalises to combinations of
    facts that were never clicked.
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
    """Splits item features: `k → (k_tau, k_nu)`.

    With `config.words`, a linear layer on the last token predicts for each word of the shop's vocabulary
    the probability that it describes the item. These probabilities are `k_nu`, and `k_tau` is computed
    from them [ours]. Words of training items and of new items have similar distributions; heads on raw
    features memorise training items and generalise badly to new ones.

    Given item vectors also predict the words, and are appended to `k_nu`.

    Args:
        d: size of the concatenated, standardised item features.
        d_last: size of the last token's feature, which is last among them, before given vectors.
        n_words: size W of the vocabulary.
        config: sizes.
        n_given: size of the given vectors, which are the last features.
    """

    def __init__(
        self, d: int, d_last: int, n_words: int, config: HeadsConfig, n_given: int = 0
    ) -> None:
        super().__init__()
        self.config = config
        self.n_given, self.d_words = n_given, d_last + n_given
        self.dropout = nn.Dropout(config.dropout)
        self.describe = nn.Linear(self.d_words, n_words) if config.words else None
        d_in, self.nu_width = (n_words, n_words + n_given) if config.words else (d, config.nu)
        self.tau_width = config.tau
        sizes = (config.hidden, config.dropout)
        self.tau = Head(d_in, self.tau_width, *sizes)
        self.nu = None if config.words else Head(d, config.nu, *sizes)
        self.width = self.tau_width + self.nu_width

    def forward(self, k: Tensor) -> tuple[Tensor, Tensor]:
        """(n, d) -> tau (n, h_tau) and nu (n, h_nu)."""
        if self.nu is None:
            words = self.words(k).sigmoid()  # (n, W)
            tau = self.tau(self.dropout(words))
            given = k[:, k.shape[1] - self.n_given :]  # (n, n_given)
            return tau, torch.cat([words, given], dim=1)
        k = self.dropout(k)
        return self.tau(k), self.nu(k)

    def words(self, k: Tensor) -> Tensor:
        """Log-odds that each word occurs in the item's description: (n, d) -> (n, W)."""
        assert self.describe is not None, "these heads predict no words"
        return self.describe(k[:, k.shape[1] - self.d_words :])

    def represent(self, k: Tensor) -> Tensor:
        """The item representation `[k_tau ; k_nu]`, (n, width)."""
        return torch.cat(self(k), dim=-1)


class TransferHeads(nn.Module):
    """Splits features of sessions, and of items as sessions of length one: `t → (t_tau, t_nu)`."""

    def __init__(self, d: int, config: HeadsConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(d)
        self.tau, self.nu = (Head(d, config.tau, config.hidden, config.dropout) for _ in range(2))

    def forward(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(n, d) -> tau and nu, (n, h_tau) each."""
        t = self.norm(t)
        return self.tau(t), self.nu(t)


class Intrinsic(nn.Module):
    """Loss of an intrinsic part that does not consist of words: describe and reconstruct [ours].

    From `k_nu` alone, one linear layer predicts the words of the item's description, and another one
    reconstructs the frozen features. Otherwise a narrow bottleneck would lose all information that does
    not help to predict clicks.
    """

    def __init__(self, nu: int, words: int, d: int) -> None:
        super().__init__()
        self.describe = nn.Linear(nu, words)
        self.reconstruct = nn.Linear(nu, d)

    def forward(self, nu: Tensor, words: Tensor, features: Tensor) -> Tensor:
        """Loss of nu (n, h_nu), given words (n, W) in 0/1 and standardised features (n, d)."""
        reconstruction = F.mse_loss(self.reconstruct(nu), features)
        return 0.1 * word_loss(self.describe(nu), words) + reconstruction


def word_loss(log_odds: Tensor, words: Tensor) -> Tensor:
    """Cross-entropy in nats per item, from log-odds (n, W) and words (n, W) in 0/1.

    It is summed over words, so that the weight of a word does not depend on the vocabulary's size.
    """
    return F.binary_cross_entropy_with_logits(log_odds, words, reduction="none").sum(1).mean()


def description_words(answers: list, warm_rows, min_items: int = 5) -> tuple[list[int], Tensor]:
    """Which words of the vocabulary each description contains.

    Args:
        answers: token ids of each item's description.
        warm_rows: rows whose descriptions determine the vocabulary.
        min_items: the vocabulary has the tokens that occur in at least this many of these
            descriptions, but not in all.

    Returns:
        The vocabulary (token ids), and a matrix (n_items, W) of 0 and 1.
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
