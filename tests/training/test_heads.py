"""The small heads, and the words of a description."""

from dataclasses import replace

import numpy as np
import torch

from tpad.model.heads import (
    HeadsConfig,
    Intrinsic,
    KnowledgeHeads,
    TransferHeads,
    description_words,
)

CONFIG = HeadsConfig(tau=6, nu=10, hidden=16, dropout=0.3, words=False)
WORDS = replace(CONFIG, words=True)


def make_heads(config: HeadsConfig) -> KnowledgeHeads:
    """Heads over 20 features, of which the last 8 are the last token's, and 5 words."""
    return KnowledgeHeads(20, 8, 5, config)


def test_the_representation_is_both_parts_side_by_side():
    heads = make_heads(CONFIG).eval()
    k = torch.randn(7, 20)
    tau, nu = heads(k)
    assert heads.represent(k).shape == (7, 16)
    assert tau.shape == (7, 6) and nu.shape == (7, 10)
    assert torch.equal(heads.represent(k), torch.cat([tau, nu], 1))


def test_words_are_probabilities_read_from_the_last_token_and_all_that_tau_knows():
    heads, k = make_heads(WORDS).eval(), torch.randn(7, 20)
    tau, nu = heads(k)
    assert tau.shape == (7, 6) and nu.shape == (7, 5) and heads.width == 11
    assert torch.equal(nu, heads.words(k).sigmoid())
    assert torch.equal(heads.represent(k), torch.cat([tau, nu], 1))
    other = torch.cat([torch.randn(7, 12), k[:, 12:]], 1)  # another item with the same last token
    assert torch.equal(heads.represent(other), heads.represent(k))


def test_parts_are_layer_normalised():
    """Free parts would let the upper bound's q be fooled by growing."""
    heads, transfer = make_heads(CONFIG).eval(), TransferHeads(12, CONFIG).eval()
    for part in (*heads(100 * torch.randn(7, 20)), *transfer(100 * torch.randn(7, 12))):
        assert torch.allclose(part.mean(1), torch.zeros(7), atol=1e-5)
        assert torch.allclose(part.std(1, unbiased=False), torch.ones(7), atol=1e-2)


def test_session_and_item_parts_have_one_size():
    k_tau, _ = make_heads(CONFIG)(torch.randn(3, 20))
    t_tau, t_nu = TransferHeads(12, CONFIG)(torch.randn(3, 12))
    assert k_tau.shape == t_tau.shape == t_nu.shape


def test_dropout_acts_in_training_only():
    heads, k = make_heads(CONFIG), torch.randn(4, 20)
    assert not torch.equal(heads.train().represent(k), heads.represent(k))
    assert torch.equal(heads.eval().represent(k), heads.represent(k))


def test_the_intrinsic_part_learns_words_and_features_of_its_items():
    torch.manual_seed(0)
    nu = torch.nn.Parameter(torch.randn(8, 10))
    words = (torch.rand(8, 5) < 0.5).float()
    features = torch.randn(8, 6)
    own = Intrinsic(10, 5, 6)
    first = own(nu, words, features)
    optimizer = torch.optim.Adam([nu, *own.parameters()], 5e-2)
    for _ in range(200):
        optimizer.zero_grad()
        loss = own(nu, words, features)
        loss.backward()
        optimizer.step()
    assert loss < 0.3 * first
    assert ((own.describe(nu) > 0).float() == words).all()


def test_words_are_chosen_by_the_warm_items():
    answers = [np.array(a) for a in ([1, 2, 2, 9], [1, 3, 9], [1, 2, 9], [4, 4, 7], [2, 7])]
    vocabulary, words = description_words(answers, [0, 1, 2], min_items=2)
    # 1 and 9 stand in all warm items, 3 in one only, 4 and 7 in no warm one.
    assert vocabulary == [2]
    assert words.tolist() == [[1.0], [0.0], [1.0], [0.0], [1.0]]
    vocabulary, words = description_words(answers, [0, 1, 2], min_items=1)
    assert vocabulary == [2, 3] and words[1].tolist() == [0.0, 1.0]


def test_without_a_common_word_there_is_still_a_column():
    vocabulary, words = description_words([np.array([1]), np.array([2])], [0, 1])
    assert len(vocabulary) == 1 and words.shape == (2, 1)
