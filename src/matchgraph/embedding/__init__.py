"""What texts mean, as vectors: models that run in this process, from files of installed packages.

Nothing is fetched at run time. Knows nothing of the rest of matchgraph, nor of a database.
"""

from matchgraph.embedding.embedder import DIMENSIONS, Embedder
from matchgraph.embedding.files import ModelUnusable
from matchgraph.embedding.models import DEFAULT, NAMES, UnknownModel, available, load

__all__ = [
    "DEFAULT",
    "DIMENSIONS",
    "NAMES",
    "Embedder",
    "ModelUnusable",
    "UnknownModel",
    "available",
    "load",
]
