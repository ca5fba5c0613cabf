"""Settings: presets, overrides by name, ablations, and refusals in a sentence."""

from dataclasses import asdict

import pytest

from tpad.errors import ConfigError
from tpad.settings import explain
from tpad.training.ablations.definitions import ABLATIONS, apply_ablation
from tpad.training.config import TrainingConfig, preset


def flat(config: TrainingConfig) -> dict[str, object]:
    """Every setting by its path."""
    return _flat(asdict(config))


def _flat(values: dict) -> dict[str, object]:
    found = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= {f"{name}.{part}": one for part, one in _flat(value).items()}
        else:
            found[name] = value
    return found


@pytest.mark.parametrize("name", ["demo", "smoke", "shop"])
def test_presets_exist(name):
    assert isinstance(preset(name), TrainingConfig)


def test_presets_differ_where_they_should():
    assert preset("demo").knowledge.targets == "written"
    assert preset("shop").knowledge.targets == "shop" and preset("shop").knowledge.adapt_epochs > 0
    assert preset("smoke").transfer.max_sessions < 100
    with pytest.raises(ConfigError, match="no preset 'big'"):
        preset("big")


@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_changes_what_it_names_and_nothing_else(name):
    before, after = flat(TrainingConfig()), flat(apply_ablation(TrainingConfig(), name))
    changed = {path: after[path] for path in after if after[path] != before[path]}
    asked = {path: value for path, value in ABLATIONS[name][1].items() if before[path] != value}
    assert changed == asked and changed


def test_ablations_add_up():
    both = apply_ablation(apply_ablation(preset("demo"), "no-feedback"), "jsd")
    assert both.feedback.epochs == 0 and both.distillation.lower_bound == "jsd"
    with pytest.raises(ConfigError, match=r"no ablation 'no-magic'.*no-generation"):
        apply_ablation(preset("demo"), "no-magic")


def test_settings_are_changed_by_their_path():
    config = preset("demo").override("distillation.epochs", 3).override("knowledge.layers", [0, 2])
    assert config.distillation.epochs == 3 and config.knowledge.layers == (0, 2)
    assert config.override("knowledge.layers", None).knowledge.layers is None
    assert config.override("distillation.temperature", 2).distillation.temperature == 2
    assert preset("demo").distillation.epochs != 3  # the original stays


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("distil.epochs", 3, "no setting 'distil.epochs'"),
        ("distillation.epoch", 3, "Did you mean 'distillation.epochs'"),
        ("seed.epochs", 3, "'seed' in 'seed.epochs' has no parts"),
        ("distillation", 3, "'distillation' has parts; name one of them: .*epochs"),
        ("distillation.epochs", "many", "distillation.epochs must be a whole number, not 'many'"),
        ("distillation.epochs", 2.5, "must be a whole number, not 2.5"),
        ("distillation.epochs", True, "must be a whole number, not True"),
        ("transfer.epochs", 0, "transfer.epochs must be at least 1, not 0"),
        ("transfer.batch_size", -4, "transfer.batch_size must be at least 1, not -4"),
        ("distillation.temperature", 0.0, "distillation.temperature must be above 0"),
        ("distillation.dropout", 1.0, "distillation.dropout must be below 1"),
        ("distillation.kd_weight", -1.0, "kd_weight must be at least 0, not -1.0"),
        ("distillation.kd_weight", float("nan"), "kd_weight must be a finite number"),
        ("distillation.lower_bound", "clip", "must be 'infonce', .* or 'jsd', not 'clip'"),
        ("knowledge.layers", (0, "last"), "knowledge.layers must be a whole number, not 'last'"),
        ("knowledge.targets", "oracle", "knowledge.targets must be 'shop' or 'written'"),
        ("recommender.content.heads", 5, "must divide"),
        ("inputs", "audio", "inputs must be 'both', 'image' or 'text', not 'audio'"),
        ("baselines", ("clip",), "baselines must be one of random, .*, not 'clip'"),
        ("recommender.tried", [], "tried must not be empty"),
        ("recommender.tried", ["words"], "tried must be 'content' or 'ids', not 'words'"),
        ("recommender.content", 3, "'recommender.content' has parts; name one of them: .*epochs"),
        ("seed", -1, "seed must be at least 0"),
        ("fields", 1, "fields must be true or false, not 1"),
    ],
)
def test_what_cannot_work_is_refused(path, value, message):
    with pytest.raises(ConfigError, match=message):
        preset("demo").override(path, value)


def test_every_setting_is_explained():
    explained = list(explain(preset("demo")))
    assert {one.path for one in explained} == set(flat(preset("demo")))
    assert [one.path for one in explained if not one.text] == []
    epochs = next(one for one in explained if one.path == "distillation.epochs")
    assert epochs.default == 12 and "at least 0" in epochs.kind and "Passes" in epochs.text
