"""What every embedding model offers."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

DIMENSIONS = 384
# Units: characters, of which more are cut off. Far more than the models read, and so few that no
# text keeps a tokenizer busy for long.
LONGEST = 20_000

Vectors = NDArray[np.float32]


class Embedder(Protocol):
    """A model. It may be used by many threads at once, and leaves the others running meanwhile."""

    @property
    def model(self) -> str:
        """Names the model and how it is used: only vectors of the same one can be compared."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """What the texts mean.

        Shape: (number of texts, DIMENSIONS); unit vectors, so that the inner product of two is
            their cosine. A text without a token that the model knows means nothing: all zeros,
            as unlike one text as another.
        """

    def knows(self, word: str) -> bool:
        """Whether the word in lower case is one of the vocabulary, and so hardly misspelt."""


def unit(vectors: Vectors) -> Vectors:
    """Each row at length 1; a row of zeros stays one."""
    lengths: Vectors = np.linalg.norm(vectors, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    return vectors / lengths
