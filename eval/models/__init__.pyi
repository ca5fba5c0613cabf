from .embeddings import load_ablations as load_ablations, load_embeddings as load_embeddings
from .encoders import encode_items as encode_items
from .entries import (
    Entry as Entry,
    all_entries as all_entries,
    baseline_entry as baseline_entry,
    embedding_entry as embedding_entry,
    select as select,
)
from .ranked_lists import cases_frame as cases_frame, read_ranked_lists as read_ranked_lists
from .session_recommender import EmbeddingModel as EmbeddingModel, ScoringModel as ScoringModel
from .shipped import Shipped as Shipped, shipped_recommenders as shipped_recommenders
