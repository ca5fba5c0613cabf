"""What the models are asked about an item, once for all stages."""

DESCRIBE = "Describe the product."
"""Knowledge: the answer is the item's own description."""

NEXT = "What comes next?"
"""Transfer: the answer is the description of the item that is looked at next."""


def item_text(title: str, description: str = "") -> str:
    """The text of an item as the model reads it: title, then description, as far as there is any."""
    return "\n".join(part.strip() for part in (title, description) if part.strip())
