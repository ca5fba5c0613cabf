from .files import save_split as save_split
from .leaks import assert_no_leaks as assert_no_leaks
from .split import Split as Split, SplitConfig as SplitConfig, make_split as make_split
