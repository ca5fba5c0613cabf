"""The stages on a small shop: what enters them, what each ablation leaves out, what they keep."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from stage_runs import Captured, arguments_of, logged, new_stage

from tpad.mllm import MLLM
from tpad.mllm.instructions import DESCRIBE
from tpad.mllm.prompts import Turn
from tpad.training import (
    describing,
    distillation,
    feedback,
    imagined,
    knowledge,
    pipeline,
    teacher,
    transfer,
)
from tpad.training.base import Base
from tpad.training.config import DistillConfig, apply_ablation
from tpad.training.feedback import LiveTable
from tpad.training.ranking import held
from tpad.training.shop import Shop
from tpad.training.transfer import Prefixes
from tpad.training.workspace import Workspace


@pytest.fixture(scope="module")
def distil_arguments(trained):
    return arguments_of(trained, distillation)


@pytest.fixture(scope="module")
def judged_arguments(trained):
    """The same, with likelihoods as the teacher gives them."""
    config = trained.config.override("distill.relative", False)
    return arguments_of(replace(trained, config=config), distillation)


def distilled(arguments, folder, **change):
    """The distillation stage with some settings changed: its training, its result, its log.

    The adapter, whose steps are dear, stays as it is unless `adapter_every` is given.
    """
    config = replace(arguments["config"], epochs=1, **{"adapter_every": 0} | change)
    stage, made = new_stage(folder / "distillation"), []
    with pytest.MonkeyPatch.context() as patch:
        real = distillation._Training.run
        patch.setattr(
            distillation._Training, "run", lambda self: (made.append(self), real(self))[1]
        )
        changed = {"config": config, "stage": stage}
        if not config.generative:
            changed["judgement"] = None
        result = distillation.run(**arguments | changed)
    return made[0], result, logged(stage.folder)[-1]


def begun(arguments, folder, **given):
    """The training of a distillation stage before its first step."""
    made = []

    def stop(self):
        made.append(self)
        raise Captured

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Captured):
        patch.setattr(distillation._Training, "run", stop)
        distillation.run(**arguments | {"stage": new_stage(folder / "distillation")} | given)
    return made[0]


# --- what enters ----------------------------------------------------------------------------------


def test_candidates_are_warm_distinct_and_half_of_them_likely(judged_arguments):
    config, shop = judged_arguments["config"], judged_arguments["shop"]
    transferred, judgement = judged_arguments["transfer"], judged_arguments["judgement"]
    cold, n_items = shop.dataset.cold, len(shop.dataset)
    real = judgement.candidates < n_items
    assert cold.any() and not cold[judgement.candidates[real]].any()
    assert 0.2 < real.mean() < 0.8  # the others are imagined
    assert judgement.candidates.max() < n_items + len(judged_arguments["imagined"].items)
    assert judgement.candidates.shape == (config.sessions, config.candidates)
    assert all(len(set(row.tolist())) == config.candidates for row in judgement.candidates)
    assert len(set(judgement.prefix.tolist())) == config.sessions
    assert (judgement.log_likelihood < 0).all() and np.isfinite(judgement.log_likelihood).all()
    warm = shop.warm_rows
    for number, row in zip(judgement.prefix[:8], judgement.candidates[:8], strict=True):
        scores = transferred.item_vectors[warm] @ transferred.session_vectors[number]
        best = set(warm[np.argsort(-scores)[: 2 * config.candidates]].tolist())
        # With one imagined item each, that of a warm item stands at the item's own place.
        rows = {int(n) if n < n_items else int(warm[n - n_items]) for n in row}
        assert len(best & rows) >= config.candidates // 2


def test_samples_follow_the_seed(distil_arguments):
    config, shop = distil_arguments["config"], distil_arguments["shop"]
    transferred = distil_arguments["transfer"]
    one, again, other = (teacher.sample(config, shop, transferred, seed) for seed in (0, 0, 1))
    assert np.array_equal(one[1], again[1]) and not np.array_equal(one[1], other[1])
    many = replace(config, candidates=500, sessions=100_000)
    prefix, candidates = teacher.sample(many, shop, transferred, 0)
    assert len(prefix) == len(transferred.train)
    assert sorted(candidates[0].tolist()) == shop.warm_rows.tolist()


def test_a_draw_without_some_is_a_draw_from_the_list_of_the_others():
    values = np.sort(np.random.default_rng(0).permutation(90)[:40])
    for seed in range(20):
        left_out = np.random.default_rng([seed, 1]).choice(values, 12, replace=False)
        found = teacher._choice_without(values, left_out, 20, np.random.default_rng(seed))
        others = np.setdiff1d(values, left_out)
        assert np.array_equal(found, np.random.default_rng(seed).choice(others, 20, replace=False))


def test_the_teacher_scores_descriptions_after_sessions(judged_arguments):
    """Against `MLLM.score` of each case alone."""
    shop, known = judged_arguments["shop"], judged_arguments["knowledge"]
    transferred, judgement = judged_arguments["transfer"], judged_arguments["judgement"]
    texts = known.descriptions + judged_arguments["imagined"].descriptions
    for row in (0, 7):
        prefix = transferred.train.prefix(judgement.prefix[row])
        chat = shop.conversation(prefix, known.descriptions)
        assert len(chat) == len(prefix) and chat[-1].answer is None
        assert [turn.answer for turn in chat[:-1]] == [known.descriptions[i] for i in prefix[1:]]
        with shop.mllm.use_adapter(transfer.ADAPTER):
            wanted = shop.mllm.score(
                chat, [texts[i] for i in judgement.candidates[row]],
                images=shop.images,
            )  # fmt: skip
        # The run itself may have used bfloat16, where that is faster.
        assert np.allclose(judgement.log_likelihood[row], wanted, rtol=0.05, atol=0.5)


def test_sessions_become_windows_that_lose_no_transition(dataset):
    long = np.arange(11, dtype=np.int32)
    some = replace(dataset.train, ids=dataset.train.ids[:3], starts=dataset.train.starts[:3],
                   items=[long, long[:1], long[:2]], times=None)  # fmt: skip
    windows = some.windows(4)
    assert [w.tolist() for w in windows] == [
        [0, 1, 2, 3, 4], [4, 5, 6, 7, 8], [8, 9, 10], [0, 1]
    ]  # fmt: skip
    session, place, target = transfer._places(windows)
    prefixes = Prefixes(session, place, target, np.zeros((11, 1)), windows)
    assert target.tolist() == [*range(1, 11), 1]
    assert prefixes.prefix(6).tolist() == [4, 5, 6] and prefixes.target[6] == 7
    seen = held(transfer._prefixes(windows, session, place), torch.arange(5, 11))
    assert seen[6].nonzero()[:, 0].tolist() == [0, 1]  # item 4 is no candidate


def test_no_cold_item_is_a_target_or_a_negative_of_the_transfer_stage(distil_arguments, trained):
    shop, transferred = distil_arguments["shop"], distil_arguments["transfer"]
    cold = trained.dataset.cold
    for prefixes in (transferred.train, transferred.validation):
        assert not cold[prefixes.target].any()
        assert not any(cold[window].any() for window in prefixes.windows)
    given = arguments_of(trained, transfer)
    windows = {"train": transferred.train.windows, "validation": []}
    for most in (4096, 20):
        config = replace(given["config"], max_negatives=most)
        training = transfer._Training(
            config, given["shop"], given["knowledge"], given["stage"], 0, windows
        )
        targets = torch.tensor([shop.warm_rows[0], shop.warm_rows[-1]])
        candidates, log_q = training._candidates(targets, np.random.default_rng(0))
        assert not cold[candidates.numpy()].any()
        assert torch.isin(targets, candidates).all()
        assert torch.equal(candidates, candidates.sort().values)
        assert (log_q is None) == (most == 4096)
        assert len(candidates) <= most + 2


def test_transfer_features_do_not_depend_on_the_batch(distil_arguments):
    """Each prefix' t is what the Transfer-MLLM makes of that prefix alone."""
    shop, known = distil_arguments["shop"], distil_arguments["knowledge"]
    transferred = distil_arguments["transfer"]
    for number in (0, 5, len(transferred.train) - 1):
        chat = shop.conversation(transferred.train.prefix(number), known.descriptions)
        with shop.mllm.use_adapter(transfer.ADAPTER), torch.no_grad():
            batch = shop.mllm.collate([chat], images=shop.images)
            hidden = shop.mllm.forward(batch, need_logits=False).last_hidden
        alone = hidden[0, batch.markers[0, -1]]
        stored = torch.from_numpy(transferred.train.features[number])
        cosine = torch.cosine_similarity(alone, stored, dim=0)
        assert cosine > 0.995  # stored ones may come from bfloat16


def test_imagined_items_mix_training_items_that_look_alike(distil_arguments):
    shop = distil_arguments["shop"]
    pictures, texts = imagined.mix(3, shop, seed=0)
    warm, cold = shop.warm_rows, shop.dataset.cold
    assert pictures.tolist() == np.repeat(warm, 3).tolist()
    assert not cold[texts].any() and (pictures != texts).all()
    pairs = set(zip(pictures.tolist(), texts.tolist(), strict=True))
    assert len(pairs) == len(pictures)  # none comes twice
    category = shop.dataset.items["category"].to_numpy()
    assert (category[pictures] == category[texts]).mean() > 0.95
    again, other = imagined.mix(3, shop, seed=0)[1], imagined.mix(3, shop, seed=1)[1]
    assert np.array_equal(texts, again) and not np.array_equal(texts, other)
    assert len(imagined.mix(0, shop, seed=0)[0]) == 0


def test_relative_likelihoods_do_not_depend_on_how_likely_a_text_is_anyway():
    """A text's own likelihood, such as a short one's, is taken off; what the session adds is left."""
    rng = np.random.default_rng(0)
    candidates = np.stack([rng.permutation(40)[:16] for _ in range(300)])  # (S, C) of 40 items
    text, session = rng.normal(0, 40, 40), rng.normal(0, 5, (300, 1))
    added = rng.normal(0, 1, (300, 16))
    scores = (session + text[candidates] + added).astype(np.float32)
    judgement = teacher.Judgement(np.arange(300), candidates, scores)
    found = teacher.relative(judgement)
    assert found.log_likelihood.dtype == np.float32
    assert np.array_equal(found.candidates, candidates) and found.prefix is judgement.prefix
    assert np.corrcoef(found.log_likelihood.ravel(), added.ravel())[0, 1] > 0.95
    means = [found.log_likelihood[candidates == item].mean() for item in range(40)]
    assert np.abs(means).max() < 1e-3
    longer = replace(judgement, log_likelihood=scores - 3 * np.arange(40, dtype="f4")[candidates])
    again = teacher.relative(longer).log_likelihood
    np.testing.assert_allclose(again, found.log_likelihood, atol=1e-3)


def test_without_imagined_items_the_stages_work_too(distil_arguments, tmp_path):
    config, shop = distil_arguments["config"], distil_arguments["shop"]
    n_items = len(shop.dataset)
    prefix, candidates = teacher.sample(config, shop, distil_arguments["transfer"], 0)
    assert candidates.max() < n_items and not shop.dataset.cold[candidates].any()
    judgement = teacher.Judgement(prefix, candidates, -np.random.default_rng(0).random(
        candidates.shape).astype(np.float32))  # fmt: skip
    features = distil_arguments["features"]
    given = distil_arguments | {
        "imagined": imagined.Imagined([], []), "judgement": judgement,
        "features": replace(features, imagined=features.imagined[:0]),
    }  # fmt: skip
    training, _, log = distilled(given, tmp_path)
    assert len(training.words) == len(training.table) and np.isfinite(log["kd"])


def test_words_begin_with_what_the_reader_says_of_raw_last_tokens(distil_arguments, tmp_path):
    shop, (weight, bias) = distil_arguments["shop"], distil_arguments["reader"]
    mllm, items = shop.mllm, shop.items(shop.warm_rows[:9].tolist())
    batch = mllm.collate([[Turn(item, DESCRIBE)] for item in items], images=shop.images)
    with mllm.use_adapter("student"), torch.no_grad():
        hidden = mllm.forward(batch, need_logits=False).last_hidden
    last = hidden[torch.arange(9), batch.markers[:, 0]].float()  # as the reader was trained
    wanted = last @ weight.T + bias
    training = begun(distil_arguments, tmp_path)
    with torch.no_grad():
        said = training.heads.words(training.table[:9])
        unread = begun(distil_arguments, tmp_path, reader=None).heads.words(training.table[:9])
    assert said.shape == (9, training.words.shape[1])
    # Features may be kept in half precision.
    assert torch.allclose(said, wanted, atol=2e-3), (said - wanted).abs().max()
    assert not torch.allclose(unread, wanted, atol=0.1)


# --- ablations ------------------------------------------------------------------------------------


def test_every_loss_is_there_by_default(distil_arguments, tmp_path):
    adapter = distil_arguments["shop"].mllm.trainable_parameters("student")
    before = [parameter.detach().clone() for parameter in adapter]
    training, result, log = distilled(distil_arguments, tmp_path, adapter_every=3)
    assert {"next", "kd", "align", "apart", "intrinsic"} <= set(log)
    assert all(np.isfinite(value) for value in log.values() if isinstance(value, float))
    assert 0 <= log["validation"] <= 1
    assert result.heads.split and len(training.words) == 2 * len(training.table)
    assert any(not torch.equal(a, b) for a, b in zip(before, adapter, strict=True))


def test_the_adapter_can_be_left_as_it_is(distil_arguments, tmp_path):
    adapter = distil_arguments["shop"].mllm.trainable_parameters("student")
    before = [parameter.detach().clone() for parameter in adapter]
    distilled(distil_arguments, tmp_path, adapter_every=0)
    assert all(torch.equal(a, b) for a, b in zip(before, adapter, strict=True))


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"generative": False}, {"kd"}),
        ({"align": False}, {"align"}),
        ({"disentangle": False}, {"apart"}),
        ({"disentangle": False, "align": False}, {"align", "apart"}),
        ({"words": False}, set()),
        ({"words": False, "disentangle": False}, {"apart"}),
    ],
)
def test_an_ablation_leaves_its_loss_out(distil_arguments, tmp_path, change, missing):
    _, result, log = distilled(distil_arguments, tmp_path, **change)
    assert {"next", "kd", "align", "apart", "intrinsic"} - set(log) == missing
    assert result.heads.split == ("apart" not in missing)
    assert (result.heads.describe is None) == (not change.get("words", True))
    config = DistillConfig()
    x = result.heads.represent(torch.zeros(2, len(result.scaler.mean)))
    assert x.shape == (2, result.heads.width) and result.heads.width != config.tau


@pytest.mark.parametrize("name", ["mine", "nwj", "jsd"])
def test_every_estimator_aligns(distil_arguments, tmp_path, name):
    training, _, log = distilled(distil_arguments, tmp_path, lower_bound=name)
    assert type(training.bound).__name__.lower() == name and np.isfinite(log["align"])


def test_without_generation_no_answer_is_read_or_written(trained, tmp_path):
    given = arguments_of(trained, transfer)
    config = replace(given["config"], generation=False, max_sessions=8, batch_size=4)
    read = []
    real = Shop.conversation

    def conversation(self, session, answers=None):
        read.append(answers)
        return real(self, session, answers)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Shop, "conversation", conversation)
        stage = new_stage(tmp_path / "transfer")
        transfer.run(**given | {"config": config, "stage": stage})
    assert read and all(answers is None for answers in read)
    log = logged(tmp_path / "transfer")[-1]
    assert log["generation"] == 0.0 and log["next"] > 0


@pytest.mark.parametrize("inputs", ["both", "image", "text"])
def test_one_modality_alone_hides_the_other(trained, tmp_path, inputs):
    config = trained.config.override("inputs", inputs)
    mllm = MLLM.load(trained.base.path, device="cpu")
    images = pipeline.read_pictures(
        trained.dataset, mllm, trained.base, config, Workspace(tmp_path, quiet=True)
    )
    shop = Shop.read(trained.dataset, mllm, images, config)
    assert images.has_image.all() == (inputs != "text")
    assert any(shop.texts) == any(shop.titles) == (inputs != "image")
    assert (shop.item(0).image is None) == (inputs == "text")
    turn = shop.conversation(np.array([3]))[0]
    assert (turn.item.text == "") == (inputs == "image")


def test_the_last_layer_alone(trained):
    mllm = MLLM.load(trained.base.path, device="cpu")
    config = apply_ablation(trained.config, "last-layer").knowledge
    assert knowledge.chosen_layers(config, mllm) == (4,)
    assert knowledge.chosen_layers(replace(config, layers=None), mllm) == (0, 2, 4)


def test_texts_are_cut_and_replaced_where_there_is_none(trained):
    items = trained.dataset.items.copy()
    items.loc[0, ["title", "description"]] = ["", "Only a description. " * 30]
    items.loc[1, "title"] = "long " * 50
    dataset = replace(trained.dataset, items=items)
    mllm = MLLM.load(trained.base.path, device="cpu")
    images = mllm.image_features([None] * len(items))
    shop = Shop.read(dataset, mllm, images, trained.config)
    assert max(map(len, shop.texts)) <= trained.config.knowledge.max_text
    assert max(map(len, shop.titles)) <= trained.config.transfer.max_title
    assert shop.titles[0].startswith("Only a description")


# --- describing and feedback ----------------------------------------------------------------------


def test_the_student_learns_to_name_the_words_of_a_description(trained, tmp_path):
    given = arguments_of(trained, describing)
    config, stage = replace(given["config"], describe_epochs=3), new_stage(tmp_path / "describing")
    describing.run(**given | {"config": config, "stage": stage})
    losses = [line["loss"] for line in logged(tmp_path / "describing")]
    assert len(losses) == 3 and losses[-1] < losses[0]


def test_a_student_that_learnt_no_words_has_no_reader(trained, tmp_path):
    given = arguments_of(trained, describing)
    config, stage = replace(given["config"], describe_epochs=0), new_stage(tmp_path / "describing")
    describing.run(**given | {"config": config, "stage": stage})
    assert stage.done and describing.load_reader(stage) is None


@pytest.fixture(scope="module")
def feedback_arguments(trained):
    return arguments_of(trained, feedback)


def test_without_feedback_nothing_changes(feedback_arguments, tmp_path):
    result = feedback_arguments["distilled"]
    before = {k: v.clone() for k, v in result.heads.state_dict().items()}
    config, stage = replace(feedback_arguments["config"], epochs=0), new_stage(tmp_path / "none")
    feedback.run(**feedback_arguments | {"config": config, "stage": stage})
    assert all(torch.equal(v, before[k]) for k, v in result.heads.state_dict().items())
    assert not stage.done


def test_the_live_table_has_gradients_for_warm_items_only(feedback_arguments):
    shop, result = feedback_arguments["shop"], feedback_arguments["distilled"]
    fields = feedback_arguments["fields"]
    with shop.mllm.use_adapter("student"):
        live = LiveTable(
            result, shop.warm_rows, len(shop.dataset), fields, feedback_arguments["config"]
        )
        table = live()
        width = result.heads.width
        assert table.shape == (len(shop.dataset), width + fields.shape[1])
        cold = torch.from_numpy(shop.dataset.cold)
        assert (table[cold, :width] == 0).all() and (table[~cold, :width] != 0).any(1).all()
        assert torch.equal(table[:, width:], torch.from_numpy(fields))
        weights = torch.randn(width)
        (table[~cold, :width] * weights).sum().backward()
        assert live.table.grad.abs().sum() > 0
        assert any(p.grad is not None for p in result.heads.parameters())
    result.heads.zero_grad()


def test_feedback_moves_heads_and_adapter_and_is_kept(trained, tmp_path):
    given = arguments_of(trained, feedback)
    adapter = given["shop"].mllm.trainable_parameters("student")
    heads = given["distilled"].heads
    before = [p.detach().clone() for p in (*adapter, *heads.parameters())]
    stage = new_stage(tmp_path / "feedback")
    changed = {
        "config": replace(given["config"], epochs=2, adapter_every=1),
        # Small batches: the adapter steps against what earlier batches collected.
        "recommender": replace(given["recommender"], batch_size=40),
        "stage": stage,
    }
    feedback.run(**given | changed)
    assert stage.done and len(logged(stage.folder)) == 2
    after = [p.detach().clone() for p in (*adapter, *heads.parameters())]
    moved = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    assert any(moved[: len(adapter)]) and any(moved[len(adapter) :])
    assert not heads.training and not given["shop"].mllm.model.training

    again = arguments_of(trained, feedback)
    feedback.run(**again | changed)
    now = (
        *again["shop"].mllm.trainable_parameters("student"),
        *again["distilled"].heads.parameters(),
    )
    assert all(torch.equal(a, b) for a, b in zip(after, now, strict=True))


def test_a_whole_run_without_generation_needs_no_teacher(trained, tmp_path, monkeypatch):
    """The flags reach the stages: no teacher is asked, and the heads don't split."""
    config = trained.config
    for name in ("no-generation", "no-disentanglement", "no-feedback", "no-fields"):
        config = apply_ablation(config, name)
    config = config.override("transfer.max_sessions", 8).override("baselines", ())
    monkeypatch.setattr(teacher, "run", None)
    mllm = MLLM.load(trained.base.path, device="cpu")
    encoder = pipeline.fit(
        trained.dataset, mllm, Base(trained.base.path), config, Workspace(trained.work, quiet=True)
    )
    assert encoder.fields is None and not encoder.heads.split and encoder.sets == ("tpad",)
