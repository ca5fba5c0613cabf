"""Items and sessions: reading them from tables, checking them, and splitting them."""

from tpad.data.columns import Columns
from tpad.data.dataset import Dataset, check_images
from tpad.data.images import load_image
from tpad.data.report import LoadReport
from tpad.data.sessions import Cases, Sessions
from tpad.data.splits import assert_no_leak

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
