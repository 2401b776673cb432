"""The judged needs are what they say, and the figures are computed as they say."""

import math
import re
from collections import Counter

import numpy as np
import pytest
import Stemmer

from eval import baselines, metrics
from eval.catalog import Entry, entries
from eval.judging import GROUPS, IN_WORDS, Judged, MalformedNeed, holds, meets, needs, where_of
from eval.needs import BM25, OURS, VECTORS, Answered, replaced
from matchgraph.domain.need import Need, Where

# What may be said in any need: it is not about what is looked for.
SAID_IN_ANY = (
    "a about after all an and another any are around as at be been before being by can could did do"
    " does down during each else every first for from had has have he her here his how i if in"
    " inside into is it its just last let may me might more most must my no nor not of off on one"
    " only or other others our out over put she should so some such than that the their them then"
    " there these they this those through throughout to until up us was we were what when where"
    " whether which while who whom whose why will with within without would you your"
)
FUNCTION_WORDS = frozenset(SAID_IN_ANY.split())
_stemmer = Stemmer.Stemmer("english")


def of(group: str) -> list[Judged]:
    return [judged for judged in needs() if judged.group == group]


def stems(text: str) -> set[str]:
    words = set(re.findall(r"[a-z0-9]+", text.lower())) - FUNCTION_WORDS
    return set(_stemmer.stemWords(list(words)))


# The needs


@pytest.mark.parametrize("group", GROUPS)
def test_every_group_has_needs_enough_and_about_as_many_in_either_half(group: str) -> None:
    found = of(group)
    held = sum(judged.split == "held" for judged in found)
    assert len(found) >= 24
    assert 0.38 <= held / len(found) <= 0.62


def test_there_are_needs_enough_and_the_halves_are_about_as_large() -> None:
    held = sum(judged.split == "held" for judged in needs())
    assert len(needs()) >= 180
    assert 0.45 <= held / len(needs()) <= 0.55


def test_no_two_needs_share_an_id_or_a_wording() -> None:
    counted = Counter(judged.id for judged in needs())
    asked = Counter((judged.need.text, judged.need) for judged in needs())
    assert max(counted.values()) == 1
    assert max(asked.values()) == 1


def test_every_need_has_an_answer_and_none_that_is_forbidden() -> None:
    for judged in needs():
        assert judged.grades, judged.id
        assert set(judged.grades.values()) <= {1, 2, 3}, judged.id
        assert judged.grades.keys() <= entries().keys(), judged.id
        assert judged.grades.keys().isdisjoint(judged.forbidden), judged.id


def test_whatever_a_need_names_is_in_the_catalog() -> None:
    named = {slug for judged in needs() for slug in judged.need.like + judged.need.unlike}
    assert named
    assert named <= entries().keys()


def test_every_negation_forbids_something_that_is_there() -> None:
    assert all(judged.forbidden for judged in of("negation"))


def test_every_kind_in_the_catalog_is_looked_for() -> None:
    wanted = {
        entries()[slug].kind
        for judged in needs()
        for slug, grade in judged.grades.items()
        if grade == 3
    }
    assert wanted == {entry.kind for entry in entries().values()}


@pytest.mark.parametrize("judged", of("paraphrases"), ids=lambda judged: judged.id)
def test_a_paraphrase_shares_no_word_with_what_is_relevant(judged: Judged) -> None:
    assert judged.need.text is not None
    own = stems(judged.need.text)
    assert own
    for slug in judged.grades:
        assert own.isdisjoint(stems(" ".join(entries()[slug].texts))), slug


@pytest.mark.parametrize("judged", of("typos"), ids=lambda judged: judged.id)
def test_a_typo_is_a_few_slips_away_from_what_is_meant_and_in_the_same_half(judged: Judged) -> None:
    (meant,) = (other for other in of("plain") if other.id == judged.of)
    assert meant.need.text is not None
    assert judged.need.text is not None
    assert judged.split == meant.split
    assert judged.grades == meant.grades
    written, right = judged.need.text.split(), meant.need.text.split()
    assert len(written) == len(right)
    slipped = [pair for pair in zip(written, right, strict=True) if pair[0] != pair[1]]
    assert 1 <= len(slipped) <= 3
    assert all(slips(*pair) <= 2 for pair in slipped)


def slips(one: str, other: str) -> int:
    """Letters left out, doubled, put in place of others or swapped with a neighbour."""
    rows = [list(range(len(other) + 1))]
    for i, a in enumerate(one, 1):
        row = [i]
        for j, b in enumerate(other, 1):
            row.append(min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (a != b)))
            if i > 1 and j > 1 and (a, one[i - 2]) == (other[j - 2], b):
                row[-1] = min(row[-1], rows[-2][j - 2] + 1)
        rows.append(row)
    return rows[-1][-1]


def test_attributes_are_asked_as_filters_and_in_words_alone_with_one_judgement() -> None:
    by_id = {judged.id: judged for judged in of("attributes")}
    given = [judged for judged in by_id.values() if judged.need.where != Where()]
    assert len(given) * 2 == len(by_id)
    for judged in given:
        in_words = by_id[judged.id + IN_WORDS]
        assert in_words.need.where == Where()
        assert (in_words.grades, in_words.split) == (judged.grades, judged.split)
        assert all(holds(judged.need.where, entries()[slug]) for slug in judged.grades)


# The rules


def entry(slug: str) -> Entry:
    return entries()[slug]


@pytest.mark.parametrize(
    ("rule", "slug", "met"),
    [
        ({"kinds": ["mcp"]}, "playwright-mcp", True),
        ({"kinds": ["mcp"]}, "whisper-large-v3", False),
        ({"vendors": ["OpenAI"], "open_weights": True}, "gpt-oss-20b", True),
        ({"vendors": ["OpenAI"], "open_weights": True}, "gpt-4o-mini", False),
        ({"min_context_tokens": 200_000}, "claude-haiku-4.5", True),
        ({"min_context_tokens": 200_001}, "claude-haiku-4.5", False),
        ({"min_context_tokens": 1}, "comfyui", False),
        ({"price_ceilings": [{"amount": "0.025", "per": "image"}]}, "flux.1-dev", True),
        ({"price_ceilings": [{"amount": "0.024", "per": "image"}]}, "flux.1-dev", False),
        ({"price_ceilings": [{"amount": "0.001", "per": "image"}]}, "comfyui", True),
        ({"can": ["reranking", "speech-to-text"]}, "whisper-large-v3", True),
        ({"can_all": ["reranking", "speech-to-text"]}, "whisper-large-v3", False),
        ({"slugs": ["gpt-4o*"]}, "gpt-4o-mini", True),
        ({"any": [{"kinds": ["app"]}, {"kinds": ["cli"]}]}, "ollama", True),
        ({"none": {"vendors": ["Ollama"]}}, "ollama", False),
        ({"licences": ["MIT"]}, "ollama", True),
    ],
)
def test_a_rule_holds_for_whom_the_catalog_says_so(
    rule: dict[str, object], slug: str, met: bool
) -> None:
    assert meets(rule, entry(slug)) == met


def test_what_nobody_said_does_not_hold() -> None:
    assert entry("mmlu").facts.open_weights is None
    assert not holds(Where(open_weights=True), entry("mmlu"))
    assert not holds(Where(open_weights=False), entry("mmlu"))


def test_a_condition_that_does_not_exist_is_refused() -> None:
    with pytest.raises(MalformedNeed):
        where_of({"colour": "red"})


def test_catalogs_are_put_together_as_an_import_does() -> None:
    joined = entry("qwen3.5-35b-a3b")
    assert joined.capabilities["text-generation"].intents[0] == "chat model to run myself"
    assert {price.provider for price in joined.prices} > {"self-hosted"}


# The figures


def test_the_best_order_gains_everything() -> None:
    assert metrics.ndcg(["a", "b"], {"a": 3, "b": 1}) == pytest.approx(1)
    assert metrics.ndcg(["x", "y"], {"a": 3}) == 0


def test_gain_is_discounted_by_place() -> None:
    found = metrics.ndcg(["b", "x", "a"], {"a": 3, "b": 1})
    assert found == pytest.approx((1 + 3 / 2) / (3 + 1 / math.log2(3)))


def test_only_as_much_can_be_gained_as_has_room() -> None:
    grades = {f"a{n}": 3 for n in range(40)}
    assert metrics.ndcg(list(grades)[20:30], grades) == pytest.approx(1)
    assert metrics.recall(list(grades)[20:30], grades) == 1


def test_recall_counts_the_relevant_that_were_shown() -> None:
    assert metrics.recall(["a", "x", "b"], {"a": 1, "b": 3, "c": 2, "d": 1}) == 0.5


def test_the_reciprocal_rank_is_that_of_the_first_relevant() -> None:
    assert metrics.reciprocal_rank(["x", "y", "a", "b"], {"a": 1, "b": 3}) == pytest.approx(1 / 3)
    assert metrics.reciprocal_rank([*"0123456789", "a"], {"a": 1}) == 0


def test_forbidden_results_are_counted_among_those_shown() -> None:
    assert metrics.forbidden(["a", "x", "b"], {"x", "z"}) == (1, 3)


def test_the_interval_holds_the_mean_and_is_the_same_each_time() -> None:
    random = np.random.default_rng(1)
    theirs = random.random(200)
    ours = theirs + 0.1 + random.normal(0, 0.05, 200)
    low, high = metrics.interval(ours.tolist(), theirs.tolist())
    assert 0.085 < low < float((ours - theirs).mean()) < high < 0.115
    assert (low, high) == metrics.interval(ours.tolist(), theirs.tolist())


def test_no_difference_has_an_interval_of_nothing() -> None:
    assert metrics.interval([0.5, 0.7], [0.5, 0.7]) == (0, 0)


# The baselines and the page


@pytest.fixture(scope="module")
def bm25() -> baselines.Baseline:
    return baselines.bm25(entries())


def test_bm25_finds_by_words_and_stems(bm25: baselines.Baseline) -> None:
    assert bm25(Need(text="segmenting of objects"))[0] == "sam-2"
    assert bm25(Need(text="xyzzy")) == []


def test_baselines_rank_only_what_meets_the_filters(bm25: baselines.Baseline) -> None:
    where = where_of({"kinds": ["mcp"]})
    found = bm25(Need(text="git history", where=where))
    assert found[0] == "mcp-server-git"
    assert {entry(slug).kind for slug in found} == set(where.kinds)


def test_an_example_is_none_of_the_results(bm25: baselines.Baseline) -> None:
    found = bm25(Need(like=("humaneval",), text="real projects"))
    assert "humaneval" not in found
    assert "swe-bench" in found


def test_vectors_rank_by_the_best_text_of_an_artifact() -> None:
    known = {slug: entry(slug) for slug in ("sam-2", "ollama")}
    hit = entry("ollama").texts[-1]

    def embed(texts: object) -> np.ndarray:
        rows = [[1.0, 0.0] if text in ("wanted", hit) else [0.1, 1.0] for text in texts]  # type: ignore[attr-defined]
        return np.array(rows, dtype=np.float32)

    assert baselines.vectors(known, embed)(Need(text="wanted")) == ["ollama", "sam-2"]


def test_a_page_with_room_left_is_short() -> None:
    judged = Judged("a", "attributes", Need(text="a"), {"a": 3, "b": 3}, frozenset())

    def answered(found: list[str]) -> Answered:
        return Answered(judged, {OURS: found, BM25: [], VECTORS: []})

    assert answered(["a"]).is_short
    assert not answered(["a", "b"]).is_short


def test_the_page_keeps_what_stands_around_the_tables() -> None:
    once = replaced("# Title\n\nText.\n", "old table")
    twice = replaced(once, "new table")
    assert twice.startswith("# Title\n\nText.\n")
    assert "new table" in twice
    assert "old table" not in twice
