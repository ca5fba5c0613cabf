"""`python -m tpad settings` and `train --plan`: questions to ask before a training."""

import pandas as pd

from tpad.__main__ import main
from tpad.cli.settings import dependent_stages
from tpad.training.pipeline import STAGES


def test_one_setting_is_explained_with_the_stages_that_depend_on_it(capsys):
    assert main(["settings", "distillation.tau", "--preset", "demo"]) == 0
    first, text, stages = capsys.readouterr().out.splitlines()
    assert first == "distillation.tau = 96   (int, at least 1)"
    assert text.strip() == "Size of the transitional part."
    assert stages.strip().endswith(": distillation, feedback, embeddings, recommenders.")


def test_a_group_or_the_last_part_of_a_name_lists_its_settings(capsys):
    assert main(["settings", "rank"]) == 0
    listed = [line for line in capsys.readouterr().out.splitlines() if " = " in line]
    assert [line.partition(" ")[0] for line in listed] == [
        "transfer.rank",
        "alignment.rank",
        "describing.rank",
    ]
    assert main(["settings", "teacher"]) == 0
    assert "teacher.candidates" in capsys.readouterr().out
    assert main(["settings", "nonsense"]) == 2
    assert "no setting 'nonsense'" in capsys.readouterr().err


def test_settings_of_the_base_model_rerun_every_stage():
    stages = [spec.name for spec in STAGES]
    assert dependent_stages("model.visual_tokens", STAGES) == [*stages, "recommenders"]
    assert "pictures" in dependent_stages("inputs", STAGES)
    assert dependent_stages("recommender.ids.epochs", STAGES) == ["recommenders"]


def test_a_plan_names_the_stages_and_trains_nothing(tmp_path, capsys):
    pd.DataFrame({"item_id": list("abc"), "title": ["x", "y", "z"]}).to_csv(
        tmp_path / "items.csv", index=False
    )
    clicks = [(s, item, 1e9 + 1e4 * s + n) for s in range(12) for n, item in enumerate("abc")]
    pd.DataFrame(clicks, columns=["session_id", "item_id", "timestamp"]).to_csv(
        tmp_path / "clicks.csv", index=False
    )
    tables = [
        "--items",
        str(tmp_path / "items.csv"),
        "--interactions",
        str(tmp_path / "clicks.csv"),
    ]
    out = tmp_path / "bundle"
    assert main(["train", *tables, "--out", str(out), "--plan"]) == 0
    printed = capsys.readouterr().out
    planned = [line.split()[0] for line in printed.splitlines() if "to run" in line]
    # The preset for shops has no downstream feedback, and k_tau comes from words.
    left_out = ("feedback", "alignment")
    assert planned == [spec.name for spec in STAGES if spec.name not in left_out]
    assert "after pictures" in printed and not out.exists()
    assert not (tmp_path / "bundle.work").exists()
