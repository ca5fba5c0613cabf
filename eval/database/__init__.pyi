from .connection import default_target as default_target, open_database as open_database
from .open_run import OpenRun as OpenRun
from .reader import Reader as Reader
from .records import (
    CaseTable as CaseTable,
    RunInfo as RunInfo,
    SplitInfo as SplitInfo,
    Verdict as Verdict,
)
from .store import Store as Store
