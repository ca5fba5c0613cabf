"""Reading imported tables in tests."""

import pandas as pd


def sessions_of(clicks: pd.DataFrame) -> dict[str, list[str]]:
    """The items of each session, in the table's order."""
    return clicks.groupby("session_id")["item_id"].agg(list).to_dict()
