"""Items and sessions: reading them from tables, checking them, and splitting them."""

from typing import TYPE_CHECKING

from tpad.lazy import lazy_names

if TYPE_CHECKING:
    from tpad.data.columns import Columns
    from tpad.data.dataset import Dataset, check_images
    from tpad.data.images import load_image
    from tpad.data.report import LoadReport
    from tpad.data.sessions import Cases, Sessions
    from tpad.data.splits import assert_no_leak

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "columns": ("Columns",),
        "dataset": ("Dataset", "check_images"),
        "images": ("load_image",),
        "report": ("LoadReport",),
        "sessions": ("Cases", "Sessions"),
        "splits": ("assert_no_leak",),
    },
)

__all__ = [
    "Cases",
    "Columns",
    "Dataset",
    "LoadReport",
    "Sessions",
    "assert_no_leak",
    "check_images",
    "load_image",
]
