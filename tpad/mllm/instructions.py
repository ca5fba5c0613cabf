"""The instructions that all stages use."""

DESCRIBE = "Describe the product."
"""Knowledge stage: the answer is the description of the item."""

NEXT = "What comes next?"
"""Transfer stage: the answer is the description of the next item in the session."""


def item_text(title: str, description: str = "") -> str:
    """The text of an item as the model reads it: title and description, if present, on separate lines."""
    return "\n".join(part.strip() for part in (title, description) if part.strip())
