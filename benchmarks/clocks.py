"""What benchmarks take seconds from."""

import time
from collections.abc import Callable

Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}
"""By the name of `--clock`: cpu counts a process's own time, for a machine that others use."""
