"""Scores are the log-likelihoods of a full forward pass, and generation follows its argmax."""

import numpy as np
import pytest
import torch

from tpad.errors import ModelError
from tpad.mllm import (
    ItemInput,
    Turn,
    collate,
    encode_images,
    generate,
    score_answers,
    scoring as scoring_module,
)

CANDIDATES = ["a red case", "a red phone case", "green", "", "a red case for Nova 7", "green"]


def log_likelihood(mllm, conversation, answer):
    """The log-likelihood from one forward pass over the whole conversation."""
    last = conversation[-1]
    closed = [*conversation[:-1], Turn(last.item, last.instruction, answer)]
    batch = collate(mllm, [closed])
    with torch.no_grad():
        logits = mllm.forward(batch).logits[0]  # (L, V)
    marker = int(batch.markers[0, -1])
    ids = mllm.chat_tokenizer.tokenize_answers([answer])[0]
    logprobs = logits.double().log_softmax(-1)
    return sum(float(logprobs[marker + n, token]) for n, token in enumerate(ids))


def score(mllm, conversation, candidates, **options):
    """The scores of one conversation."""
    return score_answers(mllm, [conversation], [candidates], **options)[0]


def conversations(items):
    return [
        [Turn(items[0], "Next?")],
        [Turn(items[1], "Next?", "a red case"), Turn(items[2], "Next?"), Turn(items[3], "Next?")],
        [Turn(items[2], "Next?", ""), Turn(items[4], "Next?")],
    ]


def test_a_score_is_the_log_likelihood_of_a_full_forward_pass(loaded, items):
    for conversation in conversations(items):
        expected = [log_likelihood(loaded, conversation, answer) for answer in CANDIDATES]
        got = score(loaded, conversation, CANDIDATES)
        np.testing.assert_allclose(got, expected, atol=2e-4)


def test_scores_do_not_depend_on_batches(loaded, items, monkeypatch):
    chats = conversations(items)
    ids = loaded.chat_tokenizer.tokenize_answers(CANDIDATES)
    lists = [ids, ids[:1], list(reversed(ids))]
    expected = [score(loaded, c, given) for c, given in zip(chats, lists, strict=True)]
    for row_nodes, batch_size in ((192, 32), (8, 2)):
        monkeypatch.setattr(scoring_module, "ROW_NODES", row_nodes)
        got = score_answers(loaded, chats, lists, batch_size=batch_size)
        for one, other in zip(expected, got, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4)
    np.testing.assert_allclose(expected[2][::-1], score(loaded, chats[2], CANDIDATES), atol=1e-4)
    small = score(loaded, chats[0], CANDIDATES, pass_nodes=6)
    np.testing.assert_allclose(small, expected[0], atol=1e-4)


def test_a_candidate_may_be_a_prefix_of_another(loaded, items):
    chat = conversations(items)[0]
    whole = loaded.chat_tokenizer.tokenize_answers(["a red case"])[0]
    scores = score(loaded, chat, [whole[:1], whole, whole[:2]])
    assert scores[1] < scores[2] < scores[0] < 0


def test_cached_images_give_equal_scores(loaded, items):
    cache = encode_images(loaded, [item.image for item in items])
    rows = [ItemInput(n, item.text) for n, item in enumerate(items)]
    got = score_answers(loaded, conversations(rows), [CANDIDATES] * 3, images=cache)
    expected = score_answers(loaded, conversations(items), [CANDIDATES] * 3)
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_the_loss_is_the_mean_log_likelihood(loaded, items):
    answers = ["a red case", "green"]
    chats = [[Turn(item, "Next?", a)] for item, a in zip(items, answers, strict=False)]
    batch = collate(loaded, chats, with_labels=True)
    with torch.no_grad():
        out = loaded.forward(batch)
    ids = loaded.chat_tokenizer.tokenize_answers(answers)
    assert out.targets.tolist() == [*ids[0], *ids[1]]
    total = sum(log_likelihood(loaded, [Turn(c[0].item, "Next?")], c[0].answer) for c in chats)
    assert float(out.loss) == pytest.approx(-total / len(out.targets), abs=1e-4)


def test_generation_is_the_argmax_of_a_full_forward_pass(loaded, items):
    written = generate(loaded, items, instruction="Describe it.", max_new_tokens=4, batch_size=3)
    for item, text in zip(items, written, strict=True):
        batch = collate(loaded, [[Turn(item, "Describe it.")]])
        ids = batch.input_ids[0].tolist()
        prompt = len(ids)
        for _ in range(4):
            batch.input_ids = torch.tensor([ids])
            batch.attention_mask = torch.ones_like(batch.input_ids)
            following = torch.arange(len(ids) - prompt) + batch.position_ids.max() + 1
            positions = torch.cat(
                [batch.position_ids, following.expand(*batch.position_ids.shape[:-1], -1)], -1
            )
            run = torch.no_grad()(loaded.model.model)(
                input_ids=batch.input_ids,
                attention_mask=batch.attention_mask,
                position_ids=positions,
                **vision_inputs(loaded, batch),
            )
            token = int(loaded.logits(run.last_hidden_state[0, -1]).argmax())
            if token in loaded.chat_tokenizer.stop_ids:
                break
            ids.append(token)
        assert text == loaded.chat_tokenizer.decode(ids[prompt:])


def vision_inputs(mllm, batch):
    if batch.vision is None:
        return {}
    inputs = dict(batch.vision.tensors)
    if mllm.family in ("idefics3", "smolvlm"):  # (batch, pictures, …)
        inputs = {name: value.transpose(0, 1) for name, value in inputs.items()}
    return inputs


def test_generation_stops_at_an_end_token(mllm, items):
    batch = collate(mllm, [[Turn(items[0], "Describe it.")]])
    with torch.no_grad():
        token = int(mllm.forward(batch).logits[0, -1].argmax())
    mllm.chat_tokenizer.stop_ids.add(token)
    assert generate(mllm, items[:1], instruction="Describe it.", max_new_tokens=9) == [""]


def test_invalid_candidates_are_rejected(loaded, items):
    with pytest.raises(ModelError, match="must be open"):
        score(loaded, [Turn(items[2], "Next?", "green")], ["red"])
    with pytest.raises(ModelError, match="one list for each"):
        score_answers(loaded, conversations(items), [["red"]])
    with pytest.raises(ModelError, match="no tokens"):
        score(loaded, [Turn(items[2], "Next?")], [np.array([], dtype=np.int64)])
    assert score(loaded, [Turn(items[2], "Next?")], []).shape == (0,)
    assert score_answers(loaded, [], []) == []
