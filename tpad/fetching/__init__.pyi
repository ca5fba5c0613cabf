from .config import FetchConfig as FetchConfig
from .fetch import FetchReport as FetchReport, fetch_pictures as fetch_pictures
