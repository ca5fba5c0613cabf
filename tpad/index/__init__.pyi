from .index import (
    METHODS as METHODS,
    Index as Index,
    IndexSettings as IndexSettings,
    top_k as top_k,
)
