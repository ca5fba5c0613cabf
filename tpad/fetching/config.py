"""Settings of a download."""

from dataclasses import dataclass

from tpad.data.images import MIN_SIDE
from tpad.errors import ConfigError, check_seed

FORMATS = {"webp": "WEBP", "jpg": "JPEG", "png": "PNG"}  # file ending: Pillow's name
_AT_LEAST_ONE = ("concurrency", "per_host", "max_bytes", "host_failures")
_LARGEST_SIDE = 4096


@dataclass(frozen=True)
class FetchConfig:
    """How pictures are downloaded and stored.

    Attributes:
        size: longest side of a stored picture in pixels; smaller pictures are not enlarged.
        format: of the stored files: webp, jpg or png.
        concurrency: largest number of simultaneous requests.
        per_host: largest number of simultaneous requests to one host.
        timeout: seconds for a complete response; connecting, and each wait for further data, may
            take half of it.
        retries: further attempts after a temporary failure.
        max_bytes: a larger response is rejected.
        allow_private: also download from loopback and private networks.
        ports: allowed besides 80 and 443.
        host_failures: after so many consecutive failures, a host is skipped for the rest of the run.
        seed: of the random part of the pauses between attempts.
    """

    size: int = 512
    format: str = "webp"
    concurrency: int = 16
    per_host: int = 4
    timeout: float = 20.0
    retries: int = 4
    max_bytes: int = 20_000_000
    allow_private: bool = False
    ports: tuple[int, ...] = ()
    host_failures: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ConfigError(
                f"There is no format '{self.format}'; choose from {', '.join(FORMATS)}."
            )
        if not MIN_SIDE <= self.size <= _LARGEST_SIDE:
            raise ConfigError(
                f"size is {self.size}; give between {MIN_SIDE} and {_LARGEST_SIDE} pixels."
            )
        for name in _AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; give at least 1.")
        if not 0 < self.timeout < float("inf"):
            raise ConfigError(f"timeout is {self.timeout}; give seconds above 0.")
        if self.retries < 0:
            raise ConfigError(f"retries is {self.retries}; give 0 or more.")
        check_seed(self.seed)
        for port in self.ports:
            if not 1 <= port <= 65535:
                raise ConfigError(f"There is no port {port}; give 1 to 65535.")
