"""The About tab: what is shown, where the data comes from, the model card, limits."""

from typing import Any

import gradio as gr

from app.shell.shop import Shop
from tpad.bundle.card import LIMITS
from tpad.version import __version__

NAME = "about"
PAPER = "https://arxiv.org/abs/2504.10538"

WHAT = """
## What this is

A shopper looks at a few items; which one comes next? Models that know items by their ids cannot rank one that nobody has
clicked yet, and embeddings of pictures and texts rank look-alikes, although what follows is mostly a *complement*: a phone,
then its case. TPAD ([arXiv 2504.10538]({paper})) lets a multimodal language model read an item's picture and words, lets a
twin of it read shopping sessions, and distils what the twin learned about *what follows what* into the item's representation.
So a brand-new item gets a place in the ranking from one forward pass.

This is an independent implementation from the paper's abstract; no figure of the paper is quoted.

## What the tabs show

- **Recommend**: build a session from the catalogue or from pictures of your own, and see what comes next.
- **Compare**: the same session under several embeddings; the same recommender stands on each.
- **Cold start by hand**: test cases with the item that was clicked next, its place in every model, and room for your verdict.
- **Dashboard**: everything that was measured, from the leaderboard down to a single case.

*Cold* is an item that is in no session that a model was trained on.
"""

MADE_UP_DATA = """
## Where the data comes from

The products, pictures and shoppers of this shop are made up: products are drawn from their attributes, and shoppers follow a
law that is written down, so that the best any model could do, the *oracle*, is known. Figures of a made-up shop do not say
what the method would do on yours.
"""

OWN_DATA = """
## Where the data comes from

From the tables that this bundle was trained on.
"""


def build(shop: Shop) -> None:
    """Lay out the tab."""
    with gr.Column(elem_id="about"):
        gr.Markdown(text(shop))
        with gr.Accordion("Model card", open=False):
            gr.Markdown(_card(shop))


def text(shop: Shop) -> str:
    """Everything but the model card, in Markdown."""
    info: dict[str, Any] = shop.recommender.bundle.info
    data = info["dataset"]
    sessions = ", ".join(f"{count:,} {split}" for split, count in data["n_sessions"].items())
    is_made_up = (shop.recommender.bundle.path / "world.json").is_file()
    limits = "\n".join(f"- {limit}" for limit in LIMITS)
    cold = int(shop.catalogue.items["is_cold"].sum())
    return (
        WHAT.format(paper=PAPER)
        + (MADE_UP_DATA if is_made_up else OWN_DATA)
        + f"\nThis bundle holds {len(shop.catalogue.items):,} items, {cold:,} of them cold; sessions: "
        f"{sessions}. It was made by tpad {info['package_version']}; this app is of tpad "
        f"{__version__}.\n\n## Limits\n\n{limits}\n"
        "- What you upload is kept for your visit only, reduced in size, and then deleted.\n"
    )


def _card(shop: Shop) -> str:
    """The bundle's model card without its front matter; a sentence where it has none."""
    try:
        card = (shop.recommender.bundle.path / "README.md").read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return "This bundle has no model card."
    if card.startswith("---"):
        card = card.split("\n---\n", 1)[-1]
    return card
