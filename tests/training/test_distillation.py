"""The distillation on a small shop: its losses, and what each ablation leaves out."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from stage_runs import Captured, logged, new_stage

from tpad.mllm.collator import collate
from tpad.mllm.instructions import DESCRIBE
from tpad.mllm.prompts import Turn
from tpad.model.heads import HeadsConfig
from tpad.training.information.bounds import info_nce
from tpad.training.information.disentangling import Disentangler
from tpad.training.ranking import contained
from tpad.training.sampled_softmax import Sampling
from tpad.training.stages import distillation, imagined, teacher
from tpad.training.stages.distillation_steps import StepSampler, sampled_next_loss, words_seen


def distilled(context, config, folder, **change):
    """The distillation stage with some settings changed: its training, its result, its log.

    The adapter, whose steps are dear, stays as it is unless `adapter_every` is given.
    """
    config = replace(config, epochs=1, **{"adapter_every": 0} | change)
    stage, made = new_stage(folder / "distillation"), []
    with pytest.MonkeyPatch.context() as patch:
        real = distillation._Training.run
        patch.setattr(
            distillation._Training, "run", lambda self: (made.append(self), real(self))[1]
        )
        if not config.generative:
            context = with_results(context, teacher=None)
        result = distillation.run(config, context, stage)
    return made[0], result, logged(stage.folder)[-1]


def begun(context, config, folder):
    """The training of a distillation stage before its first step."""
    made = []

    def stop(self):
        made.append(self)
        raise Captured

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Captured):
        patch.setattr(distillation._Training, "run", stop)
        distillation.run(config, context, new_stage(folder / "distillation"))
    return made[0]


def with_results(context, **results):
    """A context with other results of some stages."""
    return replace(context, results=context.results | results)


def test_without_imagined_items_the_stages_work_too(distil_context, config, tmp_path):
    shop = distil_context.shop
    n_items = len(shop.dataset)
    prefix, candidates = teacher.sample(config.teacher, shop, distil_context["transfer"], 0)
    assert candidates.max() < n_items and not shop.dataset.cold[candidates].any()
    scores = teacher.TeacherScores(
        prefix, candidates, -np.random.default_rng(0).random(candidates.shape).astype(np.float32)
    )
    features = distil_context["student"]
    given = with_results(
        distil_context,
        imagined=imagined.Imagined([], []),
        teacher=scores,
        student=replace(features, imagined=features.imagined[:0]),
    )
    training, _, log = distilled(given, config.distillation, tmp_path)
    assert len(training.words) == len(training.table) and np.isfinite(log["kd"])


def test_words_begin_with_what_the_reader_says_of_raw_last_tokens(distil_context, config, tmp_path):
    shop, (weight, bias) = distil_context.shop, distil_context["describing"]
    mllm, items = shop.mllm, shop.items(shop.warm_rows[:9].tolist())
    batch = collate(mllm, [[Turn(item, DESCRIBE)] for item in items], images=shop.images)
    with mllm.adapters.use("student"), torch.no_grad():
        hidden = mllm.forward(batch, need_logits=False).last_hidden
    last = hidden[torch.arange(9), batch.markers[:, 0]].float()  # as the reader was trained
    wanted = last @ weight.T + bias
    settings = config.distillation
    training = begun(distil_context, settings, tmp_path)
    with torch.no_grad():
        said = training.heads.words(training.table[:9])
        blank = torch.zeros_like(weight), torch.zeros_like(bias)
        other = begun(with_results(distil_context, describing=blank), settings, tmp_path)
        unread = other.heads.words(training.table[:9])
    assert said.shape == (9, training.words.shape[1])
    # Features may be kept in half precision.
    assert torch.allclose(said, wanted, atol=2e-3), (said - wanted).abs().max()
    assert not torch.allclose(unread, wanted, atol=0.1)


def test_every_loss_is_there_by_default(distil_context, config, tmp_path):
    adapter = distil_context.mllm.adapters.parameters("student")
    before = [parameter.detach().clone() for parameter in adapter]
    training, _, log = distilled(distil_context, config.distillation, tmp_path, adapter_every=3)
    assert {"next", "kd", "align", "apart", "intrinsic"} <= set(log)
    assert all(np.isfinite(value) for value in log.values() if isinstance(value, float))
    assert 0 <= log["validation"] <= 1
    assert len(training.words) == 2 * len(training.table)
    assert any(not torch.equal(a, b) for a, b in zip(before, adapter, strict=True))


def test_the_adapter_can_be_left_as_it_is(distil_context, config, tmp_path):
    adapter = distil_context.mllm.adapters.parameters("student")
    before = [parameter.detach().clone() for parameter in adapter]
    distilled(distil_context, config.distillation, tmp_path, adapter_every=0)
    assert all(torch.equal(a, b) for a, b in zip(before, adapter, strict=True))


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"generative": False}, {"kd"}),
        ({"align": False}, {"align"}),
        ({"words": False}, set()),
    ],
)
def test_an_ablation_leaves_its_loss_out(distil_context, config, tmp_path, change, missing):
    _, result, log = distilled(distil_context, config.distillation, tmp_path, **change)
    assert {"next", "kd", "align", "apart", "intrinsic"} - set(log) == missing
    assert (result.heads.describe is None) == (not change.get("words", True))
    x = result.heads.represent(torch.zeros(2, len(result.scaler.mean)))
    assert x.shape == (2, result.heads.width) and result.heads.width != HeadsConfig().tau


@pytest.mark.parametrize("name", ["mine", "nwj", "jsd"])
def test_every_estimator_aligns(distil_context, config, tmp_path, name):
    training, _, log = distilled(distil_context, config.distillation, tmp_path, lower_bound=name)
    assert type(training.networks.bound).__name__.lower() == name and np.isfinite(log["align"])


def test_a_step_has_the_targets_a_sample_and_the_candidates_of_the_teacher():
    rng = np.random.default_rng(0)
    sampling = Sampling(full_softmax_items=40, negatives=10)
    sampler = StepSampler(rng.integers(0, 50, 500), 50, 30, 6, sampling)
    targets, candidates = torch.tensor([3, 3, 44]), torch.tensor([[7, 50, -1], [49, 79, 3]])
    items = sampler.draw(targets, candidates, rng)
    warm, others = items.every[: items.n_warm], items.every[items.n_warm :]
    assert torch.equal(items.every, items.every.unique())
    assert warm.max() < 50 <= others.min() and 6 <= len(others) <= 8
    assert {3, 44, 7, 49} <= set(warm.tolist()) and {50, 79} <= set(others.tolist())
    columns = items.every[items.candidates]
    assert {3, 44} <= set(columns.tolist()) and 10 <= len(columns) == len(items.log_q) <= 12
    whole = StepSampler(rng.integers(0, 50, 500), 50, 30, 6, Sampling()).draw(targets, None, rng)
    assert whole.every[:50].tolist() == list(range(50)) and whole.log_q is None


def test_the_mean_sampled_loss_of_the_next_item_is_about_that_over_all_items():
    rng, n, batch = np.random.default_rng(0), 80, 32
    every_target = rng.zipf(1.5, 2_000) % n
    sampler = StepSampler(every_target, n, 0, 1, Sampling(full_softmax_items=70, negatives=50))
    scores = torch.randn(n, n, generator=torch.manual_seed(0))  # of a target, after each item
    sampled, whole = [], []
    for numbers in rng.permutation(len(every_target))[:1_984].reshape(-1, batch):
        targets = torch.from_numpy(every_target[numbers])
        prefixes = torch.stack([(targets * 7 + 1) % n, (targets * 3) % n], dim=1)
        items = sampler.draw(targets, None, rng)
        mine = scores[prefixes[:, 0]]
        chosen = mine[:, items.every[items.candidates]]
        sampled.append(sampled_next_loss(chosen, targets, prefixes, items))
        seen = contained(list(prefixes.numpy()), torch.arange(n))
        whole.append(info_nce(mine, targets, exclude=seen))
    assert float(torch.stack(sampled).mean()) == pytest.approx(
        float(torch.stack(whole).mean()), abs=0.03
    )


def test_distillation_on_samples_of_the_items_is_reproducible(
    distil_context, config, tmp_path, monkeypatch
):
    monkeypatch.setattr(distillation, "SAMPLING", Sampling(10, 8, 5))
    found = [distilled(distil_context, config.distillation, tmp_path / n) for n in ("1", "2")]
    training, _, log = found[0]
    assert training.step_items.sampler is not None and len(training.validation_cases) <= 5
    assert all(np.isfinite(value) for value in log.values() if isinstance(value, float))
    assert {"next", "kd", "align", "apart", "intrinsic"} <= set(log)
    one, same = (training.heads.state_dict() for training, _, _ in found)
    assert all(torch.equal(value, same[name]) for name, value in one.items())
    training, _, log = distilled(
        distil_context, config.distillation, tmp_path / "3", adapter_every=3
    )
    assert all(np.isfinite(value) for value in log.values() if isinstance(value, float))


def test_words_of_all_items_of_a_session_count_once():
    words = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 1, 0]])
    columns = torch.tensor([[0, 1], [2, -1], [-1, -1]])
    expected = torch.tensor([[1.0, 1, 0], [1, 1, 0], [0, 0, 0]])
    assert torch.equal(words_seen(columns, words), expected)


def test_the_alignment_bound_never_moves_the_teacher(distil_context, trained, tmp_path):
    config = replace(
        trained.config.distillation,
        next_weight=0.0,
        kd_weight=0.0,
        seen_weight=0.0,
        separate_weight=0.0,
    )
    training = distillation._Training(config, distil_context, new_stage(tmp_path / "stage"))
    rows = training.train_cases[:16]
    losses = training._losses(rows, np.random.default_rng(0))
    losses["align"].backward()
    assert all(p.grad is None or not p.grad.any() for p in training.transfer_heads.parameters())
    assert any(p.grad is not None and p.grad.any() for p in training.heads.tau.parameters())


def test_t_nu_learns_the_words_of_the_session(distil_context, trained, tmp_path):
    training = distillation._Training(
        trained.config.distillation, distil_context, new_stage(tmp_path / "stage")
    )
    rows = training.train_cases[:16]
    training._losses(rows, np.random.default_rng(0))["seen"].backward()
    assert any(p.grad is not None and p.grad.any() for p in training.transfer_heads.nu.parameters())


def test_what_q_explains():
    torch.manual_seed(0)
    apart = Disentangler(4, 4, weight=1.0)
    tau, noise = torch.randn(512, 4), torch.randn(512, 4)
    for _ in range(60):
        apart(tau, tau)
    assert apart.eval().explained(tau, tau) > 0.8
    assert apart.explained(noise, tau) < 0.1
