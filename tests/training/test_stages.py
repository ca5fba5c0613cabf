"""The other stages on a small shop: what enters them, and what they keep."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from stage_runs import context_of, logged, new_stage

from tpad.mllm import MLLM
from tpad.mllm.adapters import LoraSettings
from tpad.mllm.collator import collate
from tpad.training.ablations.definitions import apply_ablation
from tpad.training.optimisation import Optimisation
from tpad.training.pipeline import Run
from tpad.training.ranking import contained
from tpad.training.shop import Shop, read_texts
from tpad.training.stages import describing, imagined, knowledge, pictures, transfer
from tpad.training.stages.prefixes import Prefixes, places, prefix_items
from tpad.training.stages.session_reading import SessionReader
from tpad.training.workspace import Workspace


def test_sessions_become_windows_that_lose_no_transition(dataset):
    long = np.arange(11, dtype=np.int32)
    some = replace(
        dataset.train,
        ids=dataset.train.ids[:3],
        starts=dataset.train.starts[:3],
        items=[long, long[:1], long[:2]],
        times=None,
    )
    windows = some.windows(4)
    assert [w.tolist() for w in windows] == [[0, 1, 2, 3, 4], [4, 5, 6, 7, 8], [8, 9, 10], [0, 1]]
    session, place, target = places(windows)
    prefixes = Prefixes(session, place, target, np.zeros((11, 1)), windows)
    assert target.tolist() == [*range(1, 11), 1]
    assert prefixes.prefix(6).tolist() == [4, 5, 6] and prefixes.target[6] == 7
    seen = contained(prefix_items(windows, session, place), torch.arange(5, 11))
    assert seen[6].nonzero()[:, 0].tolist() == [0, 1]  # item 4 is no candidate


def test_no_cold_item_is_a_target_or_a_negative_of_the_transfer_stage(
    distil_context, trained, tmp_path
):
    shop, transferred = distil_context.shop, distil_context["transfer"]
    cold = trained.dataset.cold
    for prefixes in (transferred.train, transferred.validation):
        assert not cold[prefixes.target].any()
        assert not any(cold[window].any() for window in prefixes.windows)
    context = context_of(trained, transfer.STAGE)
    windows = {"train": transferred.train.windows, "validation": []}
    for most in (4096, 20):
        config = replace(trained.config.transfer, max_negatives=most)
        training = transfer._Training(config, context, new_stage(tmp_path / "stage"), windows)
        batch = windows["train"][:2]
        targets = torch.from_numpy(np.concatenate([window[1:] for window in batch])).long()
        candidates, log_q = training._candidates(batch, np.random.default_rng(0))
        assert not cold[candidates.numpy()].any()
        assert torch.isin(targets, candidates).all()
        assert torch.equal(candidates, candidates.unique())
        assert (log_q is None) == (most == 4096)
        assert len(candidates) <= most + len(targets)
        if log_q is not None:
            least = np.log(most / len(shop.warm_rows))
            assert len(log_q) == len(candidates)
            assert ((log_q > least - 1e-6) & (log_q <= 0)).all()


def test_a_transfer_step_has_the_same_gradient_in_any_number_of_passes(
    distil_context, trained, tmp_path
):
    windows = distil_context["transfer"].train.windows
    context = context_of(trained, transfer.STAGE)
    adapters = context.mllm.adapters
    adapters.add(transfer.ADAPTER, LoraSettings(rank=4, alpha=8.0))
    parameters = list(adapters.parameters(transfer.ADAPTER))
    gradients = []
    for most in (5, 2):
        config = replace(trained.config.transfer, sessions_per_pass=most)
        stage = new_stage(tmp_path / "stage")
        training = transfer._Training(config, context, stage, {"train": windows, "validation": []})
        torch.manual_seed(0)
        for parameter in training.heads.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        training.heads.eval()  # no dropout
        optimisation = Optimisation([{"params": parameters, "lr": 0.0}], 1, clip=1e9)
        with adapters.use(transfer.ADAPTER):
            losses = training._step(windows[:5], np.random.default_rng(0), optimisation)
        gradients.append([parameter.grad.clone() for parameter in parameters])
        assert (losses > 0).all()
    assert any(gradient.abs().sum() > 0 for gradient in gradients[0])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)


def test_passes_hold_each_session_once(distil_context):
    windows = distil_context["transfer"].train.windows[:7]
    passes = SessionReader(distil_context.shop, None).passes(windows, 3)
    assert [len(one.windows) for one in passes] == [3, 2, 2]
    read = sorted(window.tolist() for one in passes for window in one.windows)
    assert read == sorted(window.tolist() for window in windows)
    assert sum(one.n_terms[1] for one in passes) == sum(len(window) - 1 for window in windows)


def test_transfer_features_do_not_depend_on_the_batch(distil_context):
    """Each prefix' t is what the Transfer-MLLM makes of that prefix alone."""
    shop, transferred = distil_context.shop, distil_context["transfer"]
    for number in (0, 5, len(transferred.train) - 1):
        chat = shop.conversation(transferred.train.prefix(number), distil_context["descriptions"])
        with shop.mllm.adapters.use(transfer.ADAPTER), torch.no_grad():
            batch = collate(shop.mllm, [chat], images=shop.images)
            hidden = shop.mllm.forward(batch, need_logits=False).last_hidden
        alone = hidden[0, batch.markers[0, -1]]
        stored = torch.from_numpy(transferred.train.features[number])
        cosine = torch.cosine_similarity(alone, stored, dim=0)
        assert cosine > 0.995  # stored ones may come from bfloat16


def test_imagined_items_mix_training_items_that_look_alike(distil_context):
    shop = distil_context.shop
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


def test_without_generation_no_answer_is_read_or_written(trained, tmp_path):
    context = context_of(trained, transfer.STAGE)
    config = replace(trained.config.transfer, generation=False, max_sessions=8, batch_size=4)
    read = []
    real = Shop.conversation

    def conversation(self, session, answers=None):
        read.append(answers)
        return real(self, session, answers)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Shop, "conversation", conversation)
        transfer.run(config, context, new_stage(tmp_path / "transfer"))
    assert read and all(answers is None for answers in read)
    log = logged(tmp_path / "transfer")[-1]
    assert log["generation"] == 0.0 and log["next"] > 0


@pytest.mark.parametrize("inputs", ["both", "image", "text"])
def test_one_modality_alone_hides_the_other(trained, tmp_path, inputs):
    run = Run(
        trained.dataset, trained.base, trained.config.override("inputs", inputs), device="cpu"
    )
    run.graph.run(run.context, Workspace(tmp_path, quiet=True), [pictures.STAGE.name])
    shop, images = run.context.shop, run.context["pictures"]
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
    texts, titles = read_texts(items, "both", 320, 80)
    assert max(map(len, texts)) <= 320
    assert max(map(len, titles)) <= 80
    assert titles[0].startswith("Only a description")


def test_the_student_learns_to_name_the_words_of_a_description(trained, tmp_path):
    config = replace(trained.config.describing, epochs=3)
    context = context_of(trained, describing.STAGE)
    describing.run(config, context, new_stage(tmp_path / "describing"))
    losses = [line["loss"] for line in logged(tmp_path / "describing")]
    assert len(losses) == 3 and losses[-1] < losses[0]


def test_a_student_that_learnt_no_words_has_no_reader(trained, tmp_path):
    config, stage = replace(trained.config.describing, epochs=0), new_stage(tmp_path / "describing")
    assert describing.run(config, context_of(trained, describing.STAGE), stage) is None
    assert stage.done


def test_a_whole_run_without_generation_needs_no_teacher(trained, tmp_path):
    """The flags reach the stages: no teacher is asked."""
    config = trained.config
    for name in ("no-generation", "no-disentanglement", "no-feedback", "no-fields"):
        config = apply_ablation(config, name)
    config = config.override("transfer.max_sessions", 8).override("baselines", ())
    run = Run(trained.dataset, trained.base, config, device="cpu")
    run.graph.run(run.context, Workspace(trained.work, quiet=True), ["distillation", "feedback"])
    assert run.context["teacher"] is None and run.context["feedback"] is None
    encoder = run.encoder()
    assert encoder.fields is None and encoder.sets == ("tpad",)
