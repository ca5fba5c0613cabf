"""The keys that the graph of stages gives to the stages of a run."""

from tpad.training.base import Base
from tpad.training.graph import Graph
from tpad.training.inputs import Inputs
from tpad.training.pipeline import STAGES


def keys(dataset, base_folder, config) -> dict[str, str]:
    """The key of each stage that a run would use."""
    fingerprints = Inputs(dataset, config, {}).fingerprints
    base = Base(str(base_folder)).fingerprint
    graph = Graph(STAGES, config, fingerprints | {"base": base})
    return {spec.name: graph.key(spec.name) for spec in graph.order()}
