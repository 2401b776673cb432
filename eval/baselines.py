"""What the search is measured against: plain BM25, and vectors alone, over the same catalog.

Neither understands a condition in words. Where conditions are given as filters, both rank only what
meets them, by the judges' own rules; where an artifact is given as an example, its description goes
into the query and itself out of the answer.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import bm25s
import numpy as np
import Stemmer
from numpy.typing import NDArray

from eval.catalog import Entry
from eval.judging import holds
from eval.metrics import DEPTH
from matchgraph.domain.need import Need, Where

Scores = Callable[[str], NDArray[np.float32]]


class Baseline:
    """Ranks whole artifacts by one score each."""

    def __init__(self, catalog: Mapping[str, Entry], scores: Scores) -> None:
        self._catalog = catalog
        self._slugs = list(catalog)
        self._scores = scores

    def __call__(self, need: Need) -> list[str]:
        """The slugs of the best, best first."""
        examples = [self._catalog[slug].own_text for slug in need.like]
        scores = self._scores(" ".join(filter(None, (need.text, *examples))))
        left_out = {*need.like, *need.unlike}
        found: list[str] = []
        # Equal scores go by slug, so that the same catalog gives the same answer.
        for place in sorted(range(len(scores)), key=lambda i: (-scores[i], self._slugs[i])):
            slug = self._slugs[place]
            if len(found) == DEPTH:
                break
            if need.where == Where():
                met = scores[place] > 0
            else:
                # Whoever filters sees everything that is left, if need be in any order.
                met = holds(need.where, self._catalog[slug])
            if met and slug not in left_out:
                found.append(slug)
        return found


def bm25(catalog: Mapping[str, Entry], k1: float = 1.2, b: float = 0.75) -> Baseline:
    """BM25 over one document per artifact: all texts that speak for it, stemmed, without stop
    words."""
    stemmer = Stemmer.Stemmer("english")

    def tokens(texts: Sequence[str]) -> Any:
        return bm25s.tokenize(
            list(texts), stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False
        )

    index = bm25s.BM25(method="lucene", k1=k1, b=b)
    documents = [" ".join(entry.texts) for entry in catalog.values()]
    index.index(tokens(documents), show_progress=False)
    nothing = np.zeros(len(documents), dtype=np.float32)

    def scores(text: str) -> NDArray[np.float32]:
        (asked,) = tokens([text])
        # A word that is nowhere in the catalog says nothing.
        asked = [token for token in asked if token in index.vocab_dict]
        return index.get_scores(asked) if asked else nothing

    return Baseline(catalog, scores)


def vectors(
    catalog: Mapping[str, Entry], embed: Callable[[Sequence[str]], NDArray[np.float32]]
) -> Baseline:
    """Exact comparison of the need's vector with every text of every artifact; the best text of an
    artifact is its score."""
    texts = list(dict.fromkeys(text for entry in catalog.values() for text in entry.texts))
    of = {text: number for number, text in enumerate(texts)}
    embedded = np.concatenate([embed(texts[at : at + 64]) for at in range(0, len(texts), 64)])
    rows = [of[text] for entry in catalog.values() for text in entry.texts]
    begins = np.cumsum([0, *(len(entry.texts) for entry in catalog.values())])[:-1]

    def scores(text: str) -> NDArray[np.float32]:
        alike = embedded @ embed([text])[0]
        best: NDArray[np.float32] = np.maximum.reduceat(alike[rows], begins)
        return best

    return Baseline(catalog, scores)
