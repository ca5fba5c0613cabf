from .bundle import Bundle as Bundle
from .data import Dataset as Dataset
from .data.columns import Columns as Columns
from .errors import (
    BundleError as BundleError,
    ConfigError as ConfigError,
    DataError as DataError,
    ImageError as ImageError,
    ModelError as ModelError,
    TpadError as TpadError,
)
from .items import NewItem as NewItem
from .recommender import Recommender as Recommender, load as load
from .version import __version__ as __version__
