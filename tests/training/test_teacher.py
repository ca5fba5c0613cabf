"""What the teacher is asked, and what it answers."""

from dataclasses import replace

import numpy as np

from tpad.mllm import score_answers
from tpad.training.stages import teacher, transfer


def test_candidates_are_warm_distinct_and_half_of_them_likely(distil_context, config):
    config, shop = config.teacher, distil_context.shop
    transferred, scored = distil_context["transfer"], distil_context["teacher"]
    cold, n_items = shop.dataset.cold, len(shop.dataset)
    real = scored.candidates < n_items
    assert cold.any() and not cold[scored.candidates[real]].any()
    assert 0.2 < real.mean() < 0.8  # the others are imagined
    assert scored.candidates.max() < n_items + len(distil_context["imagined"].items)
    assert scored.candidates.shape == (config.sessions, config.candidates)
    assert all(len(set(row.tolist())) == config.candidates for row in scored.candidates)
    assert len(set(scored.prefix.tolist())) == config.sessions
    assert (scored.log_likelihood < 0).all() and np.isfinite(scored.log_likelihood).all()
    warm = shop.warm_rows
    for number, row in zip(scored.prefix[:8], scored.candidates[:8], strict=True):
        scores = transferred.item_vectors[warm] @ transferred.session_vectors[number]
        best = set(warm[np.argsort(-scores)[: 2 * config.candidates]].tolist())
        # With one imagined item each, that of a warm item stands at the item's own place.
        rows = {int(n) if n < n_items else int(warm[n - n_items]) for n in row}
        assert len(best & rows) >= config.candidates // 2


def test_samples_follow_the_seed(distil_context, config):
    config, shop, transferred = config.teacher, distil_context.shop, distil_context["transfer"]
    one, again, other = (teacher.sample(config, shop, transferred, seed) for seed in (0, 0, 1))
    assert np.array_equal(one[1], again[1]) and not np.array_equal(one[1], other[1])
    many = replace(config, candidates=500, sessions=100_000)
    prefix, candidates = teacher.sample(many, shop, transferred, 0)
    assert len(prefix) == len(transferred.train)
    assert sorted(candidates[0].tolist()) == shop.warm_rows.tolist()


def test_similar_and_rarely_clicked_items_are_among_the_candidates(distil_context, config):
    shop, transferred = distil_context.shop, distil_context["transfer"]
    vectors = transferred.item_vectors[shop.warm_rows]
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    place = {row: n for n, row in enumerate(shop.warm_rows.tolist())}
    few = set(np.flatnonzero(shop.dataset.popularity <= teacher.RARE)) & set(place)
    found = {}
    for similar, rare in ((0.0, 0.0), (0.25, 0.0), (0.0, 0.25)):
        own = replace(config.teacher, candidates=16, similar=similar, rare=rare, sessions=200)
        prefix, candidates = teacher.sample(own, shop, transferred, 0)
        assert all(len(set(row.tolist())) == 16 for row in candidates)
        near = 0
        for number, row in zip(prefix, candidates, strict=True):
            last = place[transferred.train.prefix(number)[-1]]
            best = shop.warm_rows[np.argsort(-units @ units[last])[:16]]
            near += len(set(row.tolist()) & set(best.tolist()))
        found[similar, rare] = near, sum(len(few & set(row.tolist())) for row in candidates)
    plain = found[0.0, 0.0]
    assert found[0.25, 0.0][0] > plain[0] and found[0.0, 0.25][1] > plain[1]


def test_a_draw_without_some_is_a_draw_from_the_list_of_the_others():
    values = np.sort(np.random.default_rng(0).permutation(90)[:40])
    for seed in range(20):
        left_out = np.random.default_rng([seed, 1]).choice(values, 12, replace=False)
        found = teacher._choice_without(values, left_out, 20, np.random.default_rng(seed))
        others = np.setdiff1d(values, left_out)
        assert np.array_equal(found, np.random.default_rng(seed).choice(others, 20, replace=False))


def test_the_teacher_scores_descriptions_after_sessions(distil_context):
    """Compared with `score_answers` of each case alone."""
    shop, descriptions = distil_context.shop, distil_context["descriptions"]
    transferred, scored = distil_context["transfer"], distil_context["teacher"]
    texts = descriptions + distil_context["imagined"].descriptions
    for row in (0, 7):
        prefix = transferred.train.prefix(scored.prefix[row])
        chat = shop.conversation(prefix, descriptions)
        assert len(chat) == len(prefix) and chat[-1].answer is None
        assert [turn.answer for turn in chat[:-1]] == [descriptions[i] for i in prefix[1:]]
        with shop.mllm.adapters.use(transfer.ADAPTER):
            candidates = [texts[i] for i in scored.candidates[row]]
            wanted = score_answers(shop.mllm, [chat], [candidates], images=shop.images)[0]
        # The run itself may have used bfloat16, where that is faster.
        assert np.allclose(scored.log_likelihood[row], wanted, rtol=0.05, atol=0.5)


def test_relative_likelihoods_do_not_depend_on_how_likely_a_text_is_anyway():
    """A text's own likelihood, such as a short one's, is taken off; what the session adds is left."""
    rng = np.random.default_rng(0)
    candidates = np.stack([rng.permutation(40)[:16] for _ in range(300)])  # (S, C) of 40 items
    text, session = rng.normal(0, 40, 40), rng.normal(0, 5, (300, 1))
    added = rng.normal(0, 1, (300, 16))
    scores = (session + text[candidates] + added).astype(np.float32)
    scored = teacher.TeacherScores(np.arange(300), candidates, scores)
    found = teacher.relative(scored)
    assert found.log_likelihood.dtype == np.float32
    assert np.array_equal(found.candidates, candidates) and found.prefix is scored.prefix
    assert np.corrcoef(found.log_likelihood.ravel(), added.ravel())[0, 1] > 0.95
    means = [found.log_likelihood[candidates == item].mean() for item in range(40)]
    assert np.abs(means).max() < 1e-3
    longer = replace(scored, log_likelihood=scores - 3 * np.arange(40, dtype="f4")[candidates])
    again = teacher.relative(longer).log_likelihood
    np.testing.assert_allclose(again, found.log_likelihood, atol=1e-3)
