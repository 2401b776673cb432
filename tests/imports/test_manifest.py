"""What a manifest may say, and where each mistake is reported."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matchgraph.domain.artifact import Kind
from matchgraph.domain.capability import DataType
from matchgraph.domain.price import Pricing, Unit
from matchgraph.domain.provenance import Method, Provenance
from matchgraph.domain.signal import SignalName
from matchgraph.imports import manifest
from matchgraph.imports.manifest import Manifest
from matchgraph.imports.record import Keys, Problem

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "manifest.md").read_text("utf-8")
NOW = datetime(2026, 11, 23, tzinfo=UTC)

# Lines 1 to 7; what a test appends begins at line 8 and belongs to the artifact.
SOUND = """\
matchgraph: 1
observed: 2026-11-01
artifacts:
  - slug: parser
    kind: cli
    name: Parser
    source: https://example.org/parser
"""
CAPABILITY = """\
    capabilities:
      - id: parse-pdf
        name: Parses PDFs
        description: Turns a PDF into text.
"""
PRICE = """\
    prices:
      - provider: example
        pricing: paid
        amount: "0.065"
        currency: USD
        per: image
"""
SIGNAL = """\
    signals:
      - name: stars
        value: 1234
"""


def parsed(text: str) -> Manifest:
    return manifest.parse(text, "catalog.yaml", NOW)


def places(text: str) -> list[tuple[int, str]]:
    """The line and field of every problem."""
    return [(problem.line, problem.field) for problem in parsed(text).problems]


def only(text: str) -> Problem:
    """The one problem of a text from which nothing is imported."""
    read = parsed(text)
    assert read.drafts == ()
    assert len(read.problems) == 1, "\n".join(map(str, read.problems))
    return read.problems[0]


def refused(text: str, line: int, field: str, *reasons: str) -> None:
    problem = only(text)
    assert (problem.line, problem.field) == (line, field), str(problem)
    for reason in reasons:
        assert reason in problem.reason


# What is accepted


def test_the_example_of_the_document_is_read_whole() -> None:
    example = max(re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL), key=len)
    read = parsed(example)
    assert read.problems == ()
    draft = read.drafts[0]
    assert draft.slug == "stable-diffusion-3.5-large"
    assert draft.kind is Kind.MODEL
    assert draft.provenance == Provenance(
        method=Method.DECLARED,
        source="https://huggingface.co/stabilityai/stable-diffusion-3.5-large",
        observed_at=datetime(2026, 10, 1, tzinfo=UTC),
    )
    assert draft.facts.released == date(2024, 10, 22)
    assert draft.facts.context_tokens == 262144
    assert draft.facts.open_weights is True
    assert draft.facts.output_types == (DataType.IMAGE,)
    assert draft.aliases == ("sd-3.5-large",)
    assert [capability.key for capability in draft.capabilities] == ["text-to-image"]
    assert draft.prices[0].amount == Decimal("0.065")
    assert draft.prices[0].per is Unit.IMAGE
    assert draft.prices[0].observed_at == datetime(2025, 8, 1, tzinfo=UTC)
    assert draft.signals[0].value == 1234
    assert draft.signals[0].method is Method.OBSERVED
    assert draft.facts.last_release == date(2024, 10, 29)
    assert draft.whole_price_list is False
    assert draft.only_known is False


def test_the_example_of_the_document_shows_every_key() -> None:
    example = max(re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL), key=len)
    shown = set(re.findall(r"^[ -]*(\w+):", example, re.MULTILINE))
    assert shown == {key for keys in tables().values() for key in keys}


def test_the_catalog_is_read_without_problems() -> None:
    catalog = ROOT / "catalog" / "catalog.yaml"
    if not catalog.exists():
        pytest.skip("not written yet")
    read = manifest.read(catalog)
    assert [str(problem) for problem in read.problems] == []
    assert read.drafts


def test_source_and_date_come_from_the_nearest_that_says_so() -> None:
    text = (
        SOUND
        + "    observed: 2026-10-05T12:30:00+02:00\n"
        + CAPABILITY
        + "        source: https://example.org/pdf\n        provenance: inferred\n"
        + PRICE
        + "        observed: 2026-09-01\n"
        + SIGNAL
    )
    draft = parsed(text).drafts[0]
    then = datetime(2026, 10, 5, 10, 30, tzinfo=UTC)
    assert draft.provenance.observed_at == then
    assert draft.capabilities[0].provenance == Provenance(
        method=Method.INFERRED, source="https://example.org/pdf", observed_at=then
    )
    assert draft.prices[0].source == "https://example.org/parser"
    assert draft.prices[0].observed_at == datetime(2026, 9, 1, tzinfo=UTC)
    assert draft.signals[0].observed_at == then


def test_a_signal_is_declared_unless_it_says_otherwise() -> None:
    assert parsed(SOUND + SIGNAL).drafts[0].signals[0].method is Method.DECLARED
    verified = parsed(SOUND + SIGNAL + "        provenance: verified\n")
    assert verified.drafts[0].signals[0].method is Method.VERIFIED


def test_a_last_release_before_the_first_contradicts_it() -> None:
    text = SOUND + "    released: 2026-01-02\n    last_release: 2026-01-01\n"
    refused(text, 4, "artifacts[0]", "last_release: 2026-01-01 lies before the first release")
    assert parsed(text.replace("01-02", "01-01")).problems == ()


def test_every_artifact_may_have_the_date_instead_of_the_file() -> None:
    text = SOUND.replace("observed: 2026-11-01\n", "") + "    observed: 2026-11-01\n"
    assert len(parsed(text).drafts) == 1


@pytest.mark.parametrize(
    ("written", "amount"),
    [('"0.0000025"', "0.0000025"), ("'10.50'", "10.5"), ("3", "3"), ("0", "0"), ('"1e-6"', "1e-6")],
)
def test_an_amount_is_kept_exactly(written: str, amount: str) -> None:
    draft = parsed(SOUND + PRICE.replace('"0.065"', written)).drafts[0]
    assert draft.prices[0].amount == Decimal(amount)


def test_words_without_quotes_mean_what_yaml_1_2_says() -> None:
    text = SOUND + "    vendor: no\n    family: 12:30\n    licence: 2026-11-01\n"
    facts = parsed(text).drafts[0].facts
    assert (facts.vendor, facts.family, facts.licence) == ("no", "12:30", "2026-11-01")


def test_anchors_and_aliases_are_followed() -> None:
    text = SOUND + "    input_types: &types [text, pdf]\n    output_types: *types\n"
    facts = parsed(text).drafts[0].facts
    assert facts.input_types == facts.output_types == (DataType.TEXT, DataType.PDF)


def test_a_manifest_without_artifacts_is_no_mistake() -> None:
    assert parsed("matchgraph: 1\nartifacts: []\n") == Manifest((), ())


def test_a_file_is_read_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + SOUND.encode())
    assert len(manifest.read(path).drafts) == 1
    path.write_text(SOUND.replace("cli", "clj"))
    assert str(manifest.read(path).problems[0]).startswith("mine.yaml:5: artifacts[0].kind: Write")


def test_a_file_that_is_not_there_is_no_matter_of_the_manifest(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        manifest.read(tmp_path / "none.yaml")


# What concerns the file as a whole


@pytest.mark.parametrize(
    ("text", "line", "field", "reason"),
    [
        ("", 1, "", "empty"),
        ("# nothing\n\n", 1, "", "empty"),
        ("---\n", 2, "", "Write keys with values, not nothing."),
        ("- slug: a\n", 1, "", "Write keys with values, not a list."),
        ("\n\nhello\n", 3, "", "Write keys with values, not 'hello'."),
        (SOUND.replace(": 1", ": 2", 1), 1, "matchgraph", "Write 1"),
        (SOUND.replace(": 1", ": '1'", 1), 1, "matchgraph", "Write 1"),
        (SOUND.replace(": 1", ": true", 1), 1, "matchgraph", "Write 1"),
        (SOUND.replace(": 1", ": 1.0", 1), 1, "matchgraph", "Write 1"),
        (SOUND.replace(": 1", ":", 1), 1, "matchgraph", "Write 1"),
        (SOUND.replace("matchgraph: 1", "# no version"), 2, "matchgraph", "missing"),
        ("matchgraph: 1\nobserved: 2026-11-01\n", 1, "artifacts", "missing"),
        ("matchgraph: 1\nartifacts:\n", 2, "artifacts", "Give it a value"),
        ("matchgraph: 1\nartifacts:\n  a: b\n", 3, "artifacts", "Write a list"),
        (SOUND + "observd: 2026-11-02\n", 8, "observd", "did you mean 'observed'?"),
        (SOUND + "observed: 2026-11-02\n", 8, "observed", "line 2 has this key too"),
        (SOUND.replace("2026-11-01", "2027-11-01"), 2, "observed", "lies in the future"),
        (SOUND.replace("2026-11-01", "2026-02-30"), 2, "observed", "a date such as"),
        (SOUND.replace("2026-11-01", "2026-11-01T09:30:00"), 2, "observed", "09:30:00Z"),
        (SOUND.replace("2026-11-01", "0001-01-01T00:00:00+10:00"), 2, "observed", "a date"),
        (SOUND + "---\nmatchgraph: 1\n", 8, "", "one document"),
        (SOUND + "    vendor: [a\n", 9, "", "not YAML"),
        (SOUND + "    vendor: a: b\n", 8, "", "in quotes"),
        (SOUND + "\tvendor: a\n", 8, "", "never with tabs"),
        (SOUND + "    vendor: *nobody\n", 8, "", "&nobody"),
        (SOUND + "    tags: &tags [*tags]\n", 8, "", "&tags"),
        (SOUND + "    vendor: !!python/object/apply:os.getcwd []\n", 8, "", "Leave out the tag"),
        (SOUND + "    vendor: !!float '1'\n", 8, "", "Leave out the tag"),
        (SOUND + "    vendor: a\x00b\n", 8, "", "U+0000"),
        (SOUND + "    vendor: a\ud800b\n", 8, "", "U+D800"),
        (SOUND + "    vendor: a\u2028b\n", 8, "", "U+2028"),
        (SOUND + "    vendor: " + "[" * 100_000, 8, "", "nested"),
        (SOUND + "    vendor: " + "{a: " * 100_000, 8, "", "nested"),
    ],
)
def test_a_mistake_in_the_file_leaves_nothing(
    text: str, line: int, field: str, reason: str
) -> None:
    refused(text, line, field, reason)


def test_an_alias_bomb_is_not_unfolded() -> None:
    bomb = "a0: &a0 [boom]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 15)
    )
    assert "aliases" in only(bomb).reason


def test_a_file_that_is_not_utf_8_is_refused_at_the_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes(SOUND.encode() + "    vendor: Café\n".encode("latin-1"))
    read = manifest.read(path)
    assert [str(problem) for problem in read.problems] == [
        "latin.yaml:8: This is not UTF-8; save the file as UTF-8."
    ]
    path.write_bytes(SOUND.encode("utf-16"))
    assert manifest.read(path).problems[0].line == 1


def test_a_file_of_more_than_20_mb_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_bytes(SOUND.encode() + b"#" * manifest.LARGEST)
    assert "20 MB" in manifest.read(path).problems[0].reason
    assert "20 MB" in only(SOUND + "#" * manifest.LARGEST).reason


# What concerns one artifact


@pytest.mark.parametrize(
    ("text", "line", "field", "reason"),
    [
        ("matchgraph: 1\nartifacts:\n- parser\n", 3, "artifacts[0]", "Write keys with values"),
        (SOUND.replace("slug: parser", "slug: Pars er"), 4, "artifacts[0].slug", "is not a slug"),
        (SOUND.replace("slug: parser", "slug: 7"), 4, "artifacts[0].slug", "Write a text"),
        (SOUND.replace("cli", "clj"), 5, "artifacts[0].kind", "did you mean 'cli'?"),
        (SOUND.replace("cli", "[cli]"), 5, "artifacts[0].kind", "not a list"),
        (SOUND.replace("Parser", "3.5"), 6, "artifacts[0].name", "in quotes"),
        (SOUND.replace("Parser", "'  '"), 6, "artifacts[0].name", "it is blank"),
        (SOUND.replace("Parser", '"a\\0b"'), 6, "artifacts[0].name", "cannot be stored"),
        (SOUND.replace("name: Parser", "name:"), 6, "artifacts[0].name", "leave the key out"),
        (SOUND.replace("    name: Parser\n", ""), 4, "artifacts[0].name", "missing"),
        (SOUND.replace("    kind: cli\n", ""), 4, "artifacts[0].kind", "missing"),
        (SOUND.replace("slug: parser\n    ", ""), 4, "artifacts[0].slug", "missing"),
        (SOUND.replace("    source: ", "    # "), 4, "artifacts[0].source", "missing"),
        (SOUND.replace("observed: ", "# "), 4, "artifacts[0].observed", "missing"),
        (SOUND + "    license: MIT\n", 8, "artifacts[0].license", "did you mean 'licence'?"),
        (SOUND + "    <<: 5\n", 8, "artifacts[0].<<", "no such key"),
        (SOUND + "    5: five\n", 8, "artifacts[0].5", "no such key"),
        (SOUND + "    ? [a]\n    : b\n", 8, "artifacts[0].a list", "no such key"),
        (SOUND + "    name: Other\n", 8, "artifacts[0].name", "line 6 has this key too"),
        (SOUND + "    observed: 2027-01-01\n", 8, "artifacts[0].observed", "lies in the future"),
        (SOUND + "    open_weights: yes\n", 8, "artifacts[0].open_weights", "true or false"),
        (SOUND + "    context_tokens: 1e6\n", 8, "artifacts[0].context_tokens", "a whole number"),
        (SOUND + "    context_tokens: 0\n", 8, "artifacts[0].context_tokens", "from 1"),
        (SOUND + "    output_tokens: true\n", 8, "artifacts[0].output_tokens", "not true"),
        (SOUND + "    released: 2024\n", 8, "artifacts[0].released", "a date such as"),
        (SOUND + "    homepage: " + "x" * 501, 8, "artifacts[0].homepage", "501 characters"),
        (SOUND + "    input_types: text\n", 8, "artifacts[0].input_types", "Write a list"),
        (
            SOUND + "    input_types:\n      - text\n      - imag\n",
            10,
            "artifacts[0].input_types[1]",
            "did you mean 'image'?",
        ),
        (SOUND + "    aliases: [A]\n", 8, "artifacts[0].aliases[0]", "is not a slug"),
        (SOUND + "    aliases: [a, 5]\n", 8, "artifacts[0].aliases[1]", "Write a text"),
        (
            SOUND + "    aliases: [a, a]\n",
            8,
            "artifacts[0].aliases[1]",
            "aliases[0] is 'a' already",
        ),
        (
            SOUND + "    aliases: [parser]\n",
            8,
            "artifacts[0].aliases[0]",
            "slug is 'parser' already",
        ),
    ],
)
def test_a_mistake_in_an_artifact_leaves_it_out(
    text: str, line: int, field: str, reason: str
) -> None:
    refused(text, line, field, reason)


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "reason"),
    [
        ("id: parse-pdf", "id: Parse PDF", 9, ".id", "is not a slug"),
        ("id: parse-pdf", "key: parse-pdf", 9, ".key", "no such key"),
        ("name: Parses PDFs", "name: ' '", 10, ".name", "it is blank"),
        ("        name: Parses PDFs\n", "", 9, ".name", "missing"),
        ("PDFs", "PDFs\n        tags: [a, ' ']", 11, ".tags", "it is blank"),
        ("PDFs", "PDFs\n        tags: [a, 1]", 11, ".tags[1]", "Write a text"),
        ("PDFs", "PDFs\n        intents: parse", 11, ".intents", "Write a list"),
        ("PDFs", "PDFs\n        input_types: [pfd]", 11, ".input_types[0]", "mean 'pdf'?"),
        ("PDFs", "PDFs\n        provenance: declard", 11, ".provenance", "mean 'declared'?"),
        ("PDFs", "PDFs\n        source: ''", 11, ".source", "it is blank"),
        ("PDFs", "PDFs\n        observed: 2027-01-01", 11, ".observed", "in the future"),
    ],
)
def test_a_mistake_in_a_capability(old: str, new: str, line: int, field: str, reason: str) -> None:
    read = parsed(SOUND + CAPABILITY.replace(old, new, 1))
    assert read.drafts == ()
    found = [
        problem for problem in read.problems if problem.reason != "It is missing; add this key."
    ]
    problem = (found or read.problems)[0]
    assert (problem.line, problem.field) == (line, f"artifacts[0].capabilities[0]{field}")
    assert reason in problem.reason


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "reason"),
    [
        ('"0.065"', "0.065", 11, ".amount", "Write it in quotes, a float is not exact."),
        ('"0.065"', "1e-6", 11, ".amount", "in quotes"),
        ('"0.065"', "1e400", 11, ".amount", "in quotes"),
        ('"0.065"', "1e-400", 11, ".amount", "in quotes"),
        ('"0.065"', "5.", 11, ".amount", "in quotes"),
        ('"0.065"', ".5", 11, ".amount", "in quotes"),
        ('"0.065"', "-.inf", 11, ".amount", "in quotes"),
        ('"0.065"', ".nan", 11, ".amount", "in quotes"),
        ('"0.065"', "9" * 5000, 11, ".amount", "in quotes"),
        ('"0.065"', "9" * 50, 11, ".amount", "is no price"),
        ('"0.065"', "-1", 11, ".amount", "is no price"),
        ('"0.065"', '"NaN"', 11, ".amount", "is no price"),
        ('"0.065"', '"1e400"', 11, ".amount", "is no price"),
        ('"0.065"', '"0.0000000000000000001"', 11, ".amount", "18 decimal places"),
        ('"0.065"', "1:30", 11, ".amount", "a whole number, or a decimal one in quotes"),
        ('"0.065"', "true", 11, ".amount", "not true"),
        ('"0.065"', "'0,065'", 11, ".amount", "'0,065'"),
        ("USD", "usd", 12, ".currency", "ISO 4217"),
        ("per: image", "per: images", 13, ".per", "did you mean 'image'?"),
        ("per: image", "unit: image", 13, ".unit", "no such key"),
        ("provider: example", "provider: Example", 9, ".provider", "is not a slug"),
        ("pricing: paid", "pricing: payed", 10, ".pricing", "did you mean 'paid'?"),
        ("        pricing: paid\n", "", 9, ".pricing", "missing"),
        ("pricing: paid", "pricing: free", 9, "", "zero is a paid price of 0"),
        ("        per: image\n", "", 9, "", "needs a currency and a unit"),
        ("per: image", "per: image\n        tier: ' '", 14, ".tier", "it is blank"),
        ("per: image", "per: image\n        observed: 2027-01-01", 14, ".observed", "future"),
    ],
)
def test_a_mistake_in_a_price(old: str, new: str, line: int, field: str, reason: str) -> None:
    refused(SOUND + PRICE.replace(old, new, 1), line, f"artifacts[0].prices[0]{field}", reason)


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "reason"),
    [
        ("stars", "star", 9, ".name", "did you mean 'stars'?"),
        ("1234", "-5", 10, ".value", "must be from 0"),
        ("1234", "0.5", 10, ".value", "a float is not exact"),
        ("        value: 1234\n", "", 9, ".value", "missing"),
        ("name: stars", "name: docs", 10, ".value", "docs: 1234 is refused"),
        ("1234", "1\n        method: declared", 11, ".method", "no such key"),
    ],
)
def test_a_mistake_in_a_signal(old: str, new: str, line: int, field: str, reason: str) -> None:
    refused(SOUND + SIGNAL.replace(old, new, 1), line, f"artifacts[0].signals[0]{field}", reason)


@pytest.mark.parametrize(
    ("block", "first", "second"),
    [
        (CAPABILITY, 12, "artifacts[0].capabilities[1]"),
        (PRICE, 14, "artifacts[0].prices[1]"),
        (SIGNAL, 11, "artifacts[0].signals[1]"),
    ],
)
def test_the_same_thing_twice_is_refused_the_second_time(
    block: str, first: int, second: str
) -> None:
    again = block.split("\n", 1)[1]
    refused(SOUND + block + again, first, second, "is about the same")


def test_prices_of_different_tiers_are_two_prices() -> None:
    again = PRICE.split("\n", 1)[1] + "        tier: batch\n"
    assert len(parsed(SOUND + PRICE + again).drafts[0].prices) == 2


# What concerns several artifacts

OTHER = """\
  - slug: other
    kind: cli
    name: Other
    source: https://example.org/other
"""


def test_an_artifact_with_a_problem_is_left_out_and_the_others_are_in_file_order() -> None:
    text = (
        SOUND
        + OTHER.replace("cli", "clj")
        + OTHER.replace("other", "third")
        + OTHER.replace("other", "fourth")
    )
    read = parsed(text)
    assert [draft.slug for draft in read.drafts] == ["parser", "third", "fourth"]
    assert [(problem.line, problem.slug) for problem in read.problems] == [(9, "other")]


def test_a_slug_belongs_to_the_first_that_has_it() -> None:
    read = parsed(SOUND + OTHER.replace("slug: other", "slug: parser"))
    assert [draft.facts.name for draft in read.drafts] == ["Parser"]
    assert [str(problem) for problem in read.problems] == [
        "catalog.yaml:8: artifacts[1].slug: "
        "Write another one; artifacts[0].slug is 'parser' already."
    ]


def test_an_alias_is_no_slug_of_another_even_of_a_later_one() -> None:
    read = parsed(SOUND + "    aliases: [other]\n" + OTHER)
    assert [draft.slug for draft in read.drafts] == ["other"]
    assert places(SOUND + "    aliases: [other]\n" + OTHER) == [(8, "artifacts[0].aliases[0]")]


def test_an_alias_leads_to_one_artifact() -> None:
    text = SOUND + "    aliases: [pdf]\n" + OTHER + "    aliases: [pdf]\n"
    assert places(text) == [(13, "artifacts[1].aliases[0]")]
    assert len(parsed(text).drafts) == 1


def test_all_problems_of_all_artifacts_are_told_in_line_order() -> None:
    text = (
        SOUND.replace("Parser", "' '").replace("cli", "clj")
        + "    vendor: ' '\n    licence: 5\n    licens: MIT\n"
        + PRICE.replace("USD", "usd").replace('"0.065"', "-1").replace("example", "Example")
        + CAPABILITY.replace("parse-pdf", "Parse").replace("Turns a PDF into text.", "''")
        + OTHER.replace("    name: Other\n", "")
    )
    assert places(text) == [
        (5, "artifacts[0].kind"),
        (6, "artifacts[0].name"),
        (8, "artifacts[0].vendor"),
        (9, "artifacts[0].licence"),
        (10, "artifacts[0].licens"),
        (12, "artifacts[0].prices[0].provider"),
        (14, "artifacts[0].prices[0].amount"),
        (15, "artifacts[0].prices[0].currency"),
        (18, "artifacts[0].capabilities[0].id"),
        (20, "artifacts[0].capabilities[0].description"),
        (21, "artifacts[1].name"),
    ]


def test_a_missing_amount_is_not_reported_again_as_a_contradiction() -> None:
    refused(SOUND + PRICE.replace('"0.065"', "0.1"), 11, "artifacts[0].prices[0].amount")


def test_artifacts_are_checked_even_where_the_file_is_refused() -> None:
    read = parsed(SOUND.replace("cli", "clj") + "more: 1\n")
    assert read.drafts == ()
    assert [problem.line for problem in read.problems] == [5, 8]


# Whatever is written


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    parsed(text)


@given(
    st.integers(0, len(SOUND + CAPABILITY + PRICE + SIGNAL)),
    st.integers(0, 12),
    st.text("abc 1.:-#[]{}&*!|>'\"%@`?,\\\t\n\r\x00\x07\x85é\ufeff\uffff\U0001f600", max_size=6),
)
def test_any_change_to_a_manifest_is_read_or_refused(cut: int, out: int, new: str) -> None:
    whole = SOUND + CAPABILITY + PRICE + SIGNAL
    read = parsed(whole[:cut] + new + whole[cut + out :])
    assert read.problems or len(read.drafts) <= 1
    assert all(problem.line >= 1 and problem.reason for problem in read.problems)


# The document


def tables() -> Mapping[str, Keys]:
    return {
        "The file": manifest.MANIFEST,
        "An artifact": manifest.ARTIFACT,
        "A capability": manifest.CAPABILITY,
        "A price": manifest.PRICE,
        "A signal": manifest.SIGNAL,
    }


def section(title: str) -> str:
    return DOCUMENT.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def first_column(text: str) -> list[str]:
    return re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)


@pytest.mark.parametrize("title", tables())
def test_the_document_has_a_row_for_every_key(title: str) -> None:
    assert sorted(first_column(section(title))) == sorted(tables()[title])


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("Kinds", Kind),
        ("Types of data", DataType),
        ("Pricing", Pricing),
        ("Units", Unit),
        ("Signals", SignalName),
        ("Provenance", Method),
    ],
)
def test_the_document_names_every_word(title: str, words: type[StrEnum]) -> None:
    text = DOCUMENT.split(f"### {title}\n", 1)[1].split("\n#", 1)[0]
    assert first_column(text) == [word.value for word in words]
