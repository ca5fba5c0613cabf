"""Settings of a download."""

from typing import Annotated, Literal

from pydantic import Field

from tpad.data.images import MIN_SIDE
from tpad.settings import Count, CountOrZero, Positive, settings

FORMATS = {"webp": "WEBP", "jpg": "JPEG", "png": "PNG"}  # file ending: Pillow's name
Port = Annotated[int, Field(ge=1, le=65535)]


@settings
class FetchConfig:
    """How pictures are downloaded and stored."""

    size: Annotated[int, Field(ge=MIN_SIDE, le=4096)] = 512
    """Longest side of a stored picture in pixels; smaller pictures are not enlarged."""
    format: Literal["webp", "jpg", "png"] = "webp"
    """Format of the stored files."""
    concurrency: Count = 16
    """Largest number of simultaneous requests."""
    per_host: Count = 4
    """Largest number of simultaneous requests to one host."""
    timeout: Positive = 20.0
    """Seconds for a complete response; connecting, and each wait for further data, may take half of
    it."""
    retries: CountOrZero = 4
    """Further attempts after a temporary failure."""
    max_bytes: Count = 20_000_000
    """A larger response is rejected."""
    allow_private: bool = False
    """Whether to download from loopback and private networks as well."""
    ports: tuple[Port, ...] = ()
    """Allowed ports besides 80 and 443."""
    host_failures: Count = 20
    """After so many consecutive failures, a host is skipped for the rest of the run."""
    seed: CountOrZero = 0
    """Seed of the random part of the pauses between attempts."""
