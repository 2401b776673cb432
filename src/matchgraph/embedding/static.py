"""The word vectors of WordLlama: no context and coarser, at a hundred times the speed.

For a first build of a large catalog, and for when MiniLM is not to be had. The package's own loader
looks in the wrong folder and then wants to download, so its files are read here.
"""

from collections.abc import Sequence

import numpy as np
from tokenizers import Tokenizer

from matchgraph.embedding.embedder import DIMENSIONS, LONGEST, Vectors, unit
from matchgraph.embedding.files import ModelFile

WEIGHTS = ModelFile(
    "wordllama",
    "weights/l2_supercat_256.safetensors",
    "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
)
VOCABULARY = ModelFile(
    "wordllama",
    "tokenizers/l2_supercat_tokenizer_config.json",
    "93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
)
# A file of one matrix in half precision, behind a header of 96 bytes. The checksum vouches for it.
HEADER, TOKENS, WIDTH = 96, 32_000, 256
# How the vocabulary writes the space before a word.
_SPACE = "\u2581"


class WordLlama:
    """Raises, as it is made: ModelUnusable."""

    model = "wordllama-l2-256"

    def __init__(self) -> None:
        rows = np.frombuffer(WEIGHTS.read(), np.float16, offset=HEADER)
        self._rows: Vectors = rows.reshape(TOKENS, WIDTH).astype(np.float32)
        self._tokenizer = Tokenizer.from_buffer(VOCABULARY.read())
        entries = self._tokenizer.get_vocab(with_added_tokens=False)
        self._known = frozenset(entry[1:].lower() for entry in entries if entry[:1] == _SPACE)

    def embed(self, texts: Sequence[str]) -> Vectors:
        """As `Embedder` has it; the last dimensions are 0."""
        vectors = np.zeros((len(texts), DIMENSIONS), np.float32)
        for row, text in enumerate(texts):
            if cut := text[:LONGEST].strip():
                # One by one, as in minilm.py.
                tokens = self._tokenizer.encode(cut, add_special_tokens=False).ids
                vectors[row, :WIDTH] = self._rows[tokens].sum(axis=0)
        return unit(vectors)

    def knows(self, word: str) -> bool:
        """Whether the word in lower case is one entry of the vocabulary, from its first letter."""
        return word != "" and word.lower() in self._known
