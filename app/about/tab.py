"""The About tab: what the app shows, where the data comes from, limits, and the model card."""

from typing import Any

import gradio as gr

from app.shell.shop import Shop
from tpad.bundle.card import LIMITS
from tpad.version import __version__

NAME = "about"
PAPER = "https://arxiv.org/abs/2504.10538"

WHAT = """
## What this is

A shopper looks at a few items; which one comes next? Models that know items by their ids cannot rank an item that nobody has
clicked yet. Embeddings of pictures and texts favour look-alikes, although the next item is mostly a *complement*: a phone,
then its case. In TPAD ([arXiv 2504.10538]({paper})) one multimodal language model reads the picture and text of an item, a copy
of it reads shopping sessions, and what the copy has learned about *which items follow which* is distilled into the item's
representation. A new item can therefore be ranked after a single forward pass.

This is an independent implementation based on the paper's abstract; no result of the paper is quoted.

## What the tabs show

- **Recommend**: build a session from the catalogue or from your own pictures, and see what comes next.
- **Compare**: the same session ranked by the same recommender with several embeddings.
- **Cold-start cases**: test cases with the item that was clicked next, its rank under every model, and buttons for your verdict.
- **Dashboard**: all results, from the leaderboard down to a single test case.

An item is *cold* if it occurs in no session that a model was trained on.
"""

SYNTHETIC_DATA = """
## Where the data comes from

The products, pictures and shoppers of this shop are synthetic: products are drawn from their attributes, and shoppers follow
known rules. The best possible result is therefore known: it is that of the *oracle*. Results on a synthetic shop do not show
what the method would achieve on yours.
"""

OWN_DATA = """
## Where the data comes from

The products and sessions come from the tables that this bundle was trained on.
"""


def build(shop: Shop) -> None:
    """Lay out the tab."""
    with gr.Column(elem_id="about"):
        gr.Markdown(text(shop))
        with gr.Accordion("Model card", open=False):
            gr.Markdown(_card(shop))


def text(shop: Shop) -> str:
    """Everything except the model card, in Markdown."""
    info: dict[str, Any] = shop.recommender.bundle.info
    data = info["dataset"]
    sessions = ", ".join(f"{count:,} {split}" for split, count in data["n_sessions"].items())
    is_synthetic = (shop.recommender.bundle.path / "world.json").is_file()
    limits = "\n".join(f"- {limit}" for limit in LIMITS)
    cold = int(shop.catalogue.items["is_cold"].sum())
    return (
        WHAT.format(paper=PAPER)
        + (SYNTHETIC_DATA if is_synthetic else OWN_DATA)
        + f"\nThis bundle has {len(shop.catalogue.items):,} items, {cold:,} of them cold; sessions: "
        f"{sessions}. It was created by tpad {info['package_version']}; this app is tpad "
        f"{__version__}.\n\n## Limits\n\n{limits}\n"
        "- Uploads are reduced in size, kept for your visit only, and then deleted.\n"
    )


def _card(shop: Shop) -> str:
    """The bundle's model card without front matter; a sentence if there is none."""
    try:
        card = (shop.recommender.bundle.path / "README.md").read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return "This bundle has no model card."
    if card.startswith("---"):
        card = card.split("\n---\n", 1)[-1]
    return card
