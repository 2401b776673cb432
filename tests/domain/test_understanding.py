"""What is read in plain words, and above all what is left alone."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from matchgraph.domain.artifact import Kind
from matchgraph.domain.capability import DataType
from matchgraph.domain.conditions import contradictions, merge, sentences_of
from matchgraph.domain.need import Ceiling, Where
from matchgraph.domain.price import Unit
from matchgraph.domain.understanding import understand
from matchgraph.domain.vocabulary import Vocabulary, squashed

TODAY = date(2026, 11, 23)


def named(*names: str) -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(names, ())


WORDS = Vocabulary.of(
    vendors=named(
        "OpenAI", "Google", "Anthropic", "Mistral AI", "Meta", "Cohere", "Perplexity",
            "DeepSeek", "ElevenLabs", "Writer", "GitHub", "Microsoft", "Z.ai", "Nova"
    ),
    families=named(
        "qwen", "qwen3.5", "claude-opus", "claude-sonnet", "gpt", "gpt-codex", "llama",
            "flux", "o", "seed", "mistral"
    ),
    providers=dict.fromkeys(("amazon-bedrock", "openrouter", "groq", "azure", "inference"), ()),
    licences=named(
        "MIT", "Apache-2.0", "GPL-3.0-only", "BSD-3-Clause", "CC-BY-NC-4.0", "proprietary"
    ),
    artifacts={
        "cursor": ("Cursor",), "comfyui": ("ComfyUI",), "langchain": ("LangChain",),
        "whisper-large-v3": ("Whisper large-v3",), "gpt-4.1": ("GPT-4.1",),
        "perplexity": ("Perplexity",), "github-copilot": ("GitHub Copilot", "copilot"),
        "claude-opus-4.1": ("Claude Opus 4.1",), "search": ("search",), "magic": ("magic",),
        "continue": ("Continue",), "llama.cpp": ("llama.cpp", "llama-cpp"),
    },
    capabilities={"web-search": ("Web search",), "tool-calling": ("Tool calling",)},
)  # fmt: skip
PERMISSIVE = ("Apache-2.0", "BSD-3-Clause", "MIT")
OPEN = ("Apache-2.0", "BSD-3-Clause", "GPL-3.0-only", "MIT")


def ceiling(amount: str, per: Unit, currency: str = "USD") -> Where:
    return Where(price_ceilings=(Ceiling(amount=Decimal(amount), per=per, currency=currency),))


MODEL = Where(kinds=(Kind.MODEL, Kind.FINETUNE))
NO_OPENAI = Where(not_vendors=("OpenAI",))
NO_GOOGLE = Where(not_vendors=("Google",))
IN, OUT = Unit.INPUT_TOKEN, Unit.OUTPUT_TOKEN
READ: list[tuple[str, str, tuple[Where, ...]]] = [
    # not that
    ("embeddings, not OpenAI", "embeddings", (NO_OPENAI,)),
    ("Embeddings  not  OPEN AI", "Embeddings", (NO_OPENAI,)),
    ("no google", "", (NO_GOOGLE,)),
    ("“not OpenAI” please", "please", (NO_OPENAI,)),
    ("summaries without docker", "summaries", (Where(must_not_have=("docker",)),)),
    ("transcription except Anthropic", "transcription", (Where(not_vendors=("Anthropic",)),)),
    ("chat other than Mistral", "chat", (Where(not_vendors=("Mistral AI",)),)),
    ("anything but Claude", "",
     (Where(not_families=("claude-opus", "claude-sonnet"), must_not_have=("claude",)),)),
    ("ocr that doesn’t need a GPU", "ocr", (Where(must_not_have=("gpu",)),)),
    ("ocr that isn't from Meta", "ocr", (Where(not_vendors=("Meta",)),)),
    ("non-OpenAI embeddings", "embeddings", (NO_OPENAI,)),
    ("non\u2011OpenAI embeddings", "embeddings", (NO_OPENAI,)),
    ("voices, not OpenAI or Google", "voices", (NO_OPENAI, NO_GOOGLE)),
    ("voices, not OpenAI/Google", "voices", (NO_OPENAI, NO_GOOGLE)),
    ("voices by neither OpenAI nor Google", "voices", (NO_OPENAI, NO_GOOGLE)),
    ("excluding OpenAI, Google and Cohere", "",
     (NO_OPENAI, NO_GOOGLE, Where(not_vendors=("Cohere",)))),
    ("chat, not made by OpenAI", "chat", (NO_OPENAI,)),
    ("no OpenAI models", "", (NO_OPENAI,)),
    ("I don't want OpenAI", "", (NO_OPENAI,)),
    ("not GPT", "", (Where(not_families=("gpt", "gpt-codex"), must_not_have=("gpt",)),)),
    ("not qwen", "", (Where(not_families=("qwen", "qwen3.5"), must_not_have=("qwen",)),)),
    ("ocr not an mcp server", "ocr", (Where(not_kinds=(Kind.MCP,)),)),
    ("no login, no ads", "", (Where(must_not_have=("login",)), Where(must_not_have=("ads",)))),
    ("needs no api key", "", (Where(must_not_have=("api key",)),)),
    ("agents, anything except LangChain", "agents", (Where(must_not_have=("langchain",)),)),
    ("does not require an account or docker", "",
     (Where(must_not_have=("account",)), Where(must_not_have=("docker",)))),
    ("not licensed under GPL", "", (Where(not_licences=("GPL-3.0-only",)),)),
    # what it costs
    ("chat under $1 per million tokens", "chat", (ceiling("0.000001", IN),)),
    ("chat < $0.50 / 1M output tokens", "chat", (ceiling("0.0000005", OUT),)),
    ("at most 2 dollars per million input tokens", "", (ceiling("0.000002", IN),)),
    ("pictures below 5 cents per image", "pictures", (ceiling("0.05", Unit.IMAGE),)),
    ("less than €3 per 1M", "", (ceiling("0.000003", IN, "EUR"),)),
    ("less than 3 € per 1M tokens", "", (ceiling("0.000003", IN, "EUR"),)),
    ("editor under $20 a month", "editor", (ceiling("20", Unit.MONTH),)),
    ("editor $10/mo", "editor", (ceiling("10", Unit.MONTH),)),
    ("editor under $120 per year", "editor", (ceiling("10", Unit.MONTH),)),
    ("under $0.002 per 1k tokens", "", (ceiling("0.000002", IN),)),
    ("under £5 per user per month", "", (ceiling("5", Unit.SEAT_MONTH, "GBP"),)),
    ("≤ $2 per 1,000,000 tokens", "", (ceiling("0.000002", IN),)),
    ("under one dollar per million output tokens", "", (ceiling("0.000001", OUT),)),
    ("under 0.50 per million tokens", "", (ceiling("0.0000005", IN),)),
    ("under 0,50 € per 1 mio tokens", "", (ceiling("0.0000005", IN, "EUR"),)),
    ("below 36 cents per hour of audio", "", (ceiling("0.006", Unit.AUDIO_MINUTE),)),
    ("$5 per million input and $10 per million output", "",
     (ceiling("0.000005", IN), ceiling("0.00001", OUT))),
    ("free transcription", "transcription", (Where(free=True),)),
    ("transcription free of charge", "transcription", (Where(free=True),)),
    ("transcription that costs nothing", "transcription", (Where(free=True),)),
    ("transcription at no cost", "transcription", (Where(free=True),)),
    ("transcription, no paid tools", "transcription", (Where(free=True),)),
    ("a planner that is completely free", "a planner", (Where(free=True),)),
    # how open it is, and where it runs
    ("open source llm for law", "law", (Where(open_weights=True), MODEL)),
    ("open weights for law", "law", (Where(open_weights=True),)),
    ("open source library for agents", "library for agents", (Where(licences=OPEN),)),
    ("open-source speech recognition", "speech recognition", (Where(self_hostable=True),)),
    ("self-hosted chat", "chat", (Where(self_hostable=True),)),
    ("self hostable chat", "chat", (Where(self_hostable=True),)),
    ("chat, runs locally", "chat", (Where(self_hostable=True),)),
    ("chat on my own server", "chat", (Where(self_hostable=True),)),
    ("chat on-premise", "chat", (Where(self_hostable=True),)),
    ("speech recognition that works offline", "speech recognition", (Where(self_hostable=True),)),
    ("summaries on my laptop", "summaries", (Where(self_hostable=True),)),
    # how much it takes
    ("at least 1M context", "", (Where(min_context_tokens=1_000_000),)),
    ("128k+ context window", "", (Where(min_context_tokens=128_000),)),
    ("context of 200k tokens or more", "", (Where(min_context_tokens=200_000),)),
    ("context window larger than 100,000 tokens", "", (Where(min_context_tokens=100_000),)),
    ("two million tokens context", "", (Where(min_context_tokens=2_000_000),)),
    ("more than 32k output tokens", "", (Where(min_output_tokens=32_000),)),
    # what it is
    ("mcp server for github", "github", (Where(kinds=(Kind.MCP,)),)),
    ("a dataset for ocr", "ocr", (Where(kinds=(Kind.DATASET,)),)),
    ("cli tool to rename files", "rename files", (Where(kinds=(Kind.CLI,)),)),
    ("agent framework with memory", "memory", (Where(kinds=(Kind.FRAMEWORK,)),)),
    ("I need an embedding model", "I need an embedding", (MODEL,)),
    ("benchmark for coding", "coding", (Where(kinds=(Kind.BENCHMARK,)),)),
    # what goes in and comes out; the words stay, for they say what is wanted
    ("assistant that takes images", "assistant that takes images",
     (Where(input_types=(DataType.IMAGE,)),)),
    ("assistant with image input", "assistant with image input",
     (Where(input_types=(DataType.IMAGE,)),)),
    ("accepts audio and video", "accepts audio and video",
     (Where(input_types=(DataType.AUDIO, DataType.VIDEO)),)),
    ("text to image", "text to image", (Where(output_types=(DataType.IMAGE,)),)),
    ("text-to-speech in German", "text-to-speech in German",
     (Where(output_types=(DataType.AUDIO,)),)),
    # what it can do
    ("llm with tool calling", "", (MODEL, Where(tool_calling=True))),
    ("supports function calling", "", (Where(tool_calling=True),)),
    ("chat with reasoning", "chat", (Where(reasoning=True),)),
    ("non-reasoning model", "", (Where(reasoning=False), MODEL)),
    ("chat, JSON mode", "chat", (Where(structured_output=True),)),
    ("chat with structured output", "chat", (Where(structured_output=True),)),
    ("must have web search and citations", "",
     (Where(must_have=("web-search",)), Where(must_have=("citations",)))),
    # whose it is
    ("embedding model from Anthropic", "embedding", (MODEL, Where(vendors=("Anthropic",)))),
    ("image model by Google", "image", (MODEL, Where(vendors=("Google",)))),
    ("made by Mistral", "", (Where(vendors=("Mistral AI",)),)),
    ("OpenAI embedding model", "embedding", (Where(vendors=("OpenAI",)), MODEL)),
    ("a Qwen model", "", (Where(families=("qwen", "qwen3.5")), MODEL)),
    ("llm on Bedrock", "", (MODEL, Where(providers=("amazon-bedrock",)))),
    ("llama via OpenRouter", "llama", (Where(providers=("openrouter",)),)),
    ("hosted by Groq", "", (Where(providers=("groq",)),)),
    ("MIT licensed vector search", "vector search", (Where(licences=("MIT",)),)),
    ("MIT-licensed vector search", "vector search", (Where(licences=("MIT",)),)),
    ("ocr, Apache 2.0", "ocr", (Where(licences=("Apache-2.0",)),)),
    ("ocr with a permissive licence", "ocr", (Where(licences=PERMISSIVE),)),
    # when it came
    ("released since 2025", "", (Where(released_since=date(2025, 1, 1)),)),
    ("newer than March 2026", "", (Where(released_since=date(2026, 4, 1)),)),
    ("released this year", "", (Where(released_since=date(2026, 1, 1)),)),
    ("models from 2026", "", (MODEL, Where(released_since=date(2026, 1, 1)))),
    ("older than 2024", "", (Where(released_before=date(2024, 1, 1)),)),
    ("released after 2025-06-30", "", (Where(released_since=date(2025, 7, 1)),)),
    ("cheaper than GPT-4.1", "", (Where(cheaper_than="gpt-4.1"),)),
    ("alternative to OpenAI", "", (NO_OPENAI,)),
]  # fmt: skip
LEFT = """
a recipe that explains why not to use regexes
notebook
free text search
free-form answers
open file formats
open ended questions
no-code builder
low-code builder
image to text without losing layout
zero-shot classification
not only English
not just for developers
like a pro
works like a charm
talk like a human
search like magic
I would like search
under the hood
context-aware chat
non-linear editing
non-fiction books
cheap flights finder
answers without hallucinating
without errors
without supervision
no matter how long
no need to install anything
no more than necessary
data model editor
3d model viewer
convert a model to onnx
compare models side by side
fine-tune a model
OpenAI compatible server
google drive integration
import data from GitHub
search google for papers
rank on google
gluten free recipes
hands free dictation
find free parking
feel free to chat
offline evaluation of policies
offline reinforcement learning
more than $5 per million tokens
over $100 a month
around $10 a month
under two minutes
under 18
long context
long output
more than 50 languages
at least three speakers
summarize the context of 3 emails
meta analysis of papers
writer for blog posts
one shot learning
from text to code
seed a random generator
papers from MIT
a good alternative
json schema validation
get structured output from receipts
reasoning about time
translate text to French
extract text from images
app for chatting with models
agents that write tests
skills for a job
prompt library
released hostages
since yesterday
news from 2024
photos from last year
continue writing my novel
something like a calendar
less is more
open the door
work in progress
cost of living in Paris
permission to publish
with tools for children
run a marathon
local news
""".strip().splitlines()


@pytest.mark.parametrize(("text", "rest", "wheres"), READ, ids=[said[0] for said in READ])
def test_a_condition_in_plain_words_is_read(
    text: str, rest: str, wheres: tuple[Where, ...]
) -> None:
    understood = understand(text, WORDS, today=TODAY)
    assert tuple(reading.where for reading in understood.readings) == wheres
    assert understood.rest == rest


@pytest.mark.parametrize("text", LEFT)
def test_words_that_only_look_like_a_condition_are_left_alone(text: str) -> None:
    understood = understand(text, WORDS, today=TODAY)
    assert understood.readings == ()
    assert understood.rest == text


@pytest.mark.parametrize(
    ("text", "like", "unlike", "others", "rest"),
    [
        ("like Cursor", ("cursor",), (), 0, ""),
        ("something like whisper-large-v3 but free", ("whisper-large-v3",), (), 1, ""),
        ("like Cursor but open source", ("cursor",), (), 1, ""),
        ("like Cursor but cheaper than copilot", ("cursor",), (), 1, ""),
        ("alternative to ComfyUI", ("comfyui",), (), 0, ""),
        ("Cursor alternative", ("cursor",), (), 0, ""),
        ("cursor alternative", ("cursor",), (), 0, ""),
        ("replacement for LangChain without docker", ("langchain",), (), 1, ""),
        ("similar to langchain with vision", ("langchain",), (), 0, "vision"),
        ("llama.cpp replacement", ("llama.cpp",), (), 0, ""),
        ("answers unlike Perplexity", (), ("perplexity",), 0, "answers"),
        ("something different from Perplexity", (), ("perplexity",), 0, ""),
    ],
)  # fmt: skip
def test_an_example_is_read_with_what_follows_it(
    text: str, like: tuple[str, ...], unlike: tuple[str, ...], others: int, rest: str
) -> None:
    understood = understand(text, WORDS, today=TODAY)
    assert tuple(s for r in understood.readings for s in r.like) == like
    assert tuple(s for r in understood.readings for s in r.unlike) == unlike
    assert sum(r.where != Where() for r in understood.readings) == others
    assert understood.rest == rest


def test_a_day_that_depends_on_today_is_left_alone_without_one() -> None:
    assert understand("released this year", WORDS).readings == ()


def test_a_reading_says_in_plain_words_what_it_asks() -> None:
    said = {
        reading.id: reading.sentence
        for reading in understand(
            "like Cursor, not OpenAI, under $1 per million tokens, 128k context", WORDS
        ).readings
    }
    assert said == {
        "like:cursor": "like cursor",
        "not_vendors:openai": "not made by OpenAI",
        "price_ceilings:input_token:USD": "at most 1 USD per million input tokens",
        "min_context_tokens": "at least 128,000 tokens of context",
    }


# Whatever the text

FRAGMENTS = st.sampled_from([said[0] for said in READ] + LEFT + list("(),.-$<\"'") + ["but", "and"])
TEXTS = st.one_of(
    st.lists(FRAGMENTS, max_size=6).map(" ".join),
    st.lists(FRAGMENTS, max_size=6).map(", ".join),
    st.text(max_size=300),
)


@for_all(TEXTS)
@settings(max_examples=300, deadline=None)
def test_readings_lie_in_the_text_and_never_over_each_other(text: str) -> None:
    end = 0
    ids = set()
    for reading in understand(text, WORDS, today=TODAY).readings:
        assert end <= reading.span[0] < reading.span[1] <= len(text)
        assert text[slice(*reading.span)] == reading.words
        end = reading.span[1]
        ids.add(reading.id)
    assert len(ids) == len(understand(text, WORDS, today=TODAY).readings)


@for_all(TEXTS, st.integers(0, 20))
@settings(max_examples=300, deadline=None)
def test_ignoring_a_reading_takes_it_alone_away_and_gives_its_words_back(text: str, n: int) -> None:
    before = understand(text, WORDS, today=TODAY)
    if not before.readings:
        return
    gone = before.readings[n % len(before.readings)]
    after = understand(text, WORDS, {gone.id}, today=TODAY)
    assert after.readings == tuple(r for r in before.readings if r is not gone and r != gone)
    name = next((w for w in reversed(gone.words.split()) if squashed(w)), "")
    assert squashed(name) in squashed(after.rest)


@for_all(st.text(max_size=10_000))
@settings(max_examples=30, deadline=None)
def test_no_text_is_too_strange(text: str) -> None:
    understand(text, WORDS, today=TODAY)


@pytest.mark.parametrize("said", READ, ids=[said[0] for said in READ])
def test_what_is_left_holds_nothing_more_to_read(said: tuple[str, str, tuple[Where, ...]]) -> None:
    first = understand(said[0], WORDS, today=TODAY)
    again = understand(first.rest, WORDS, today=TODAY)
    assert {r.id for r in again.readings} <= {r.id for r in first.readings}


# Conditions


def test_given_conditions_hold_over_read_ones_and_lists_unite() -> None:
    given = Where(free=True, not_vendors=("Meta",), min_context_tokens=1000)
    read = (
        Where(free=False, not_vendors=("OpenAI", "Meta")),
        Where(min_context_tokens=5, reasoning=True),
    )
    assert merge(given, read) == Where(
        free=True, not_vendors=("Meta", "OpenAI"), min_context_tokens=1000, reasoning=True
    )


def test_of_two_read_sizes_the_stricter_holds() -> None:
    read = (Where(min_context_tokens=5), Where(min_context_tokens=9), Where(min_context_tokens=7))
    assert merge(Where(), read) == Where(min_context_tokens=9)


def test_what_is_read_never_widens_what_is_given() -> None:
    given = Where(kinds=(Kind.DATASET,), must_have=("ocr",))
    read = Where(kinds=(Kind.MODEL,), vendors=("OpenAI",), must_have=("tables",))
    assert merge(given, (read,)) == Where(
        kinds=(Kind.DATASET,), vendors=("OpenAI",), must_have=("ocr", "tables")
    )


def test_of_two_ceilings_for_one_unit_the_lower_one_holds() -> None:
    low, high = ceiling("1", Unit.IMAGE), ceiling("2", Unit.IMAGE)
    assert merge(Where(), (high, low)) == low
    assert merge(high, (low,)) == low
    euros = ceiling("1", Unit.IMAGE, "EUR")
    assert len(merge(high, (euros,)).price_ceilings) == 2


@pytest.mark.parametrize(
    ("where", "pair"),
    [
        (Where(vendors=("OpenAI",), not_vendors=("openai",)), ("vendors", "not_vendors")),
        (Where(kinds=(Kind.MCP,), not_kinds=(Kind.MCP,)), ("kinds", "not_kinds")),
        (Where(must_have=("a",), must_not_have=("a",)), ("must_have", "must_not_have")),
        (
            Where(released_since=date(2026, 1, 1), released_before=date(2025, 1, 1)),
            ("released_since", "released_before"),
        ),
        (Where(min_context_tokens=10**11), ("min_context_tokens", "min_context_tokens")),
        (Where(reasoning=True, must_not_have=("reasoning",)), ("reasoning", "must_not_have")),
    ],
)
def test_what_no_artifact_can_meet_is_named(where: Where, pair: tuple[str, str]) -> None:
    ((first, second, sentence),) = contradictions(where)
    assert (first, second) == pair
    assert sentence


def test_like_and_unlike_the_same_is_a_contradiction() -> None:
    ((first, second, _),) = contradictions(Where(), ("a", "b"), ("b",))
    assert (first, second) == ("like", "unlike")


def test_ordinary_conditions_do_not_contradict() -> None:
    where = Where(vendors=("OpenAI",), not_vendors=("Meta",), free=True, min_context_tokens=128_000)
    assert contradictions(where) == ()


def test_every_condition_has_a_sentence() -> None:
    for text, _, wheres in READ:
        for where in wheres:
            said = sentences_of(where)
            assert set(said) == set(where.said()), text
            assert all(said.values())
