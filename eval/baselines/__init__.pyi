from .content import ContentConfig as ContentConfig, ContentNeighbours as ContentNeighbours
from .ease import EASE as EASE, EASEConfig as EASEConfig
from .ensemble import Ensemble as Ensemble
from .gru4rec import GRU4Rec as GRU4Rec, GRU4RecConfig as GRU4RecConfig
from .item_knn import ItemKNN as ItemKNN, ItemKNNConfig as ItemKNNConfig
from .markov import Markov as Markov
from .narm import NARM as NARM
from .neural import NeuralConfig as NeuralConfig, NeuralModel as NeuralModel
from .popularity import Popularity as Popularity, SessionPopularity as SessionPopularity
from .registry import (
    BASELINES as BASELINES,
    SEARCH as SEARCH,
    Baseline as Baseline,
    content_baseline as content_baseline,
    ensemble_baseline as ensemble_baseline,
)
from .sasrec import SASRec as SASRec, SASRecConfig as SASRecConfig
from .slist import SLIST as SLIST, SLISTConfig as SLISTConfig
from .srgnn import SRGNN as SRGNN, SRGNNConfig as SRGNNConfig
from .tuning import Tuning as Tuning, baseline_of as baseline_of, tune as tune
from .validation import ValidationCases as ValidationCases
from .vsknn import VSKNN as VSKNN, VSKNNConfig as VSKNNConfig
