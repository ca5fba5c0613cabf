"""The training logs of a bundle, as tables."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd


def epochs(recommenders: Mapping[str, Any], titles: Mapping[str, str]) -> pd.DataFrame:
    """Training of the session recommenders on each set: set, title, epoch, loss, validation.

    Args:
        recommenders: name -> anything with a `history` of `EpochReport`s.
        titles: human name of each set.
    """
    rows = [
        (name, titles.get(name, name), report.epoch, report.loss, report.validation)
        for name in recommenders
        for report in recommenders[name].history
    ]
    return pd.DataFrame(rows, columns=["set", "title", "epoch", "loss", "validation"])


def read_stages(path: Path) -> pd.DataFrame:
    """The log of all training stages, one row per number and epoch; empty if there is no log.

    A stage that was trained more than once, as for ablations, gets a number after its name from its
    second training on. Lines that report no epoch are skipped.

    Returns:
        Columns stage, epoch, quantity, value.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    last: dict[str, tuple[int, int]] = {}  # stage -> its last epoch and its number
    rows = []
    for line in lines:
        try:
            record = json.loads(line)
            stage, epoch = str(record["stage"]), int(record["epoch"])
        except (ValueError, TypeError, KeyError):
            continue  # for example a line that is still being written
        before, number = last.get(stage, (0, 1))
        number += epoch <= before
        last[stage] = epoch, number
        name = stage if number == 1 else f"{stage} ({number})"
        rows += [
            (name, epoch, quantity, float(value))
            for quantity, value in record.items()
            if quantity not in ("time", "epoch")
            and isinstance(value, int | float)
            and not isinstance(value, bool)
        ]
    return pd.DataFrame(rows, columns=["stage", "epoch", "quantity", "value"])
