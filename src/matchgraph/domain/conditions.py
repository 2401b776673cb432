"""What the conditions of a need say in plain words, where they contradict, and how they unite.

Read by understanding/ for what it understood, and by whoever explains an answer or says which
condition keeps how many artifacts out.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import date
from types import MappingProxyType
from typing import Any

from matchgraph.domain.artifact import Kind
from matchgraph.domain.decimals import plain
from matchgraph.domain.need import Ceiling, Where
from matchgraph.domain.price import Unit

KIND_WORDS: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.AGENT: "an agent",
        Kind.API: "an API",
        Kind.APP: "an app",
        Kind.BENCHMARK: "a benchmark",
        Kind.CLI: "a command-line tool",
        Kind.DATASET: "a dataset",
        Kind.EXTENSION: "an extension",
        Kind.FINETUNE: "a fine-tune",
        Kind.FRAMEWORK: "a framework",
        Kind.MCP: "an MCP server",
        Kind.MODEL: "a model",
        Kind.PLATFORM: "a platform",
        Kind.PRODUCT: "a product",
        Kind.PROMPT: "a prompt",
        Kind.REPO: "a repository",
        Kind.SKILL: "a skill",
        Kind.TEMPLATE: "a template",
        Kind.WEBAPP: "a web app",
        Kind.WORKFLOW: "a workflow",
    }
)
UNIT_WORDS: Mapping[Unit, str] = MappingProxyType(
    {
        Unit.CACHED_INPUT_TOKEN: "cached input token",
        Unit.CACHE_WRITE_TOKEN: "cache write token",
        Unit.AUDIO_MINUTE: "minute of audio",
        Unit.VIDEO_SECOND: "second of video",
        Unit.SEAT_MONTH: "seat and month",
        Unit.GB_MONTH: "gigabyte and month",
    }
)
ABSURD_TOKENS = 10**9

Say = Callable[[Any], str]


def sentences_of(where: Where) -> Mapping[str, str]:
    """What each given condition asks of an artifact, by the condition's name.

    Shape: one sentence a condition, to be read after "It is", "It must be" or on its own.
    """
    return {name: SAYS[name](value) for name, value in where.said().items()}


def contradictions(
    where: Where, like: Iterable[str] = (), unlike: Iterable[str] = ()
) -> tuple[tuple[str, str, str], ...]:
    """The pairs of conditions that no artifact can meet together.

    Shape: the names of the two conditions, which may be one and the same, and a sentence.
    """
    found = [
        (wanted, unwanted, f"{_listed(both)} cannot be wanted and excluded at once")
        for wanted, unwanted in OPPOSED
        if (both := _excluded(getattr(where, wanted), getattr(where, unwanted)))
    ]
    if both := sorted(set(like) & set(unlike)):
        found.append(("like", "unlike", f"nothing is both like and unlike {_listed(both)}"))
    since, before = where.released_since, where.released_before
    if since and before and since >= before:
        sentence = f"nothing was released on or after {since} and before {before}"
        found.append(("released_since", "released_before", sentence))
    for name, what in (("min_context_tokens", "context"), ("min_output_tokens", "output")):
        least = getattr(where, name)
        if least is not None and least > ABSURD_TOKENS:
            found.append((name, name, f"nothing has {least:,} tokens of {what}"))
    found += [
        (flag, "must_not_have", f"{word} cannot be wanted and excluded at once")
        for flag, word in FLAG_KEYS.items()
        if getattr(where, flag) and word in where.must_not_have
    ]
    found += [
        (flag, "must_have", f"{word} cannot be wanted and excluded at once")
        for flag, word in FLAG_KEYS.items()
        if getattr(where, flag) is False and word in where.must_have
    ]
    found += [
        ("price_ceilings", "price_ceilings", f"nothing asks less than nothing per {ceiling.per}")
        for ceiling in where.price_ceilings
        if ceiling.amount < 0
    ]
    if where.free is False and any(ceiling.amount == 0 for ceiling in where.price_ceilings):
        found.append(("free", "price_ceilings", "what is not free asks more than nothing"))
    if where.open_weights and where.self_hostable is False:
        found.append(("open_weights", "self_hostable", "open weights can always be self-hosted"))
    return tuple(found)


# Of these lists one entry must hold, so more entries ask for less.
ANY_OF = ("kinds", "vendors", "families", "providers", "licences")


def merge(structured: Where, understood: Iterable[Where]) -> Where:
    """The conditions given as such with those read in the text.

    Shape: what is read never widens what is given. A list of which one entry must hold is the given
        one; lists that must hold whole unite, and so do exclusions. Of single values the given one
        holds, then the stricter of those read, then the first; of two ceilings for one unit and
        currency the lower one.
    """
    read = Where()
    for where in understood:
        read = replace(read, **{k: _both(k, getattr(read, k), v) for k, v in where.said().items()})
    news: dict[str, Any] = {}
    for name, value in read.said().items():
        given = getattr(structured, name)
        if name in ANY_OF:
            news[name] = given or value
        elif isinstance(value, tuple):
            news[name] = _both(name, given, value)
        elif given is None:
            news[name] = value
    return replace(structured, **news)


def _both(name: str, known: Any, new: Any) -> Any:
    if name == "price_ceilings":
        lowest: dict[tuple[Unit, str], Ceiling] = {}
        for ceiling in (*known, *new):
            line = (ceiling.per, ceiling.currency)
            if line not in lowest or ceiling.amount < lowest[line].amount:
                lowest[line] = ceiling
        return tuple(lowest.values())
    if isinstance(new, tuple):
        return tuple(dict.fromkeys((*known, *new)))
    if known is None:
        return new
    return STRICTER[name](known, new) if name in STRICTER else known


def _excluded(wanted: tuple[Any, ...], unwanted: tuple[Any, ...]) -> list[str]:
    """What stands in both lists, where that leaves nothing of the wanted."""
    if not wanted:
        return []
    folded = {str(entry).casefold() for entry in unwanted}
    return [str(entry) for entry in wanted if str(entry).casefold() in folded]


def _listed(words: Iterable[object], last: str = "and") -> str:
    *first, end = [str(word) for word in words]
    return f"{', '.join(first)} {last} {end}" if first else end


def _any(prefix: str) -> Say:
    return lambda names: prefix + _listed(names, "or")


def _flag(yes: str, no: str) -> Say:
    return lambda value: yes if value else no


def _kinds(kinds: tuple[Kind, ...]) -> str:
    return _listed((KIND_WORDS[kind] for kind in kinds), "or")


def _ceilings(ceilings: tuple[Ceiling, ...]) -> str:
    return _listed(map(_ceiling, ceilings))


def _ceiling(ceiling: Ceiling) -> str:
    unit = UNIT_WORDS.get(ceiling.per, ceiling.per.value.replace("_", " "))
    if ceiling.per.is_token:
        return f"at most {plain(ceiling.amount * 1_000_000)} {ceiling.currency} per million {unit}s"
    return f"at most {plain(ceiling.amount)} {ceiling.currency} per {unit}"


def _day(prefix: str) -> Callable[[date], str]:
    return lambda day: f"{prefix} {day.isoformat()}"


SAYS: Mapping[str, Say] = MappingProxyType(
    {
        "kinds": _kinds,
        "not_kinds": lambda kinds: f"not {_kinds(kinds)}",
        "free": _flag("free of charge", "not free of charge"),
        "open_weights": _flag("with open weights", "without open weights"),
        "self_hostable": _flag("can be self-hosted", "cannot be self-hosted"),
        "price_ceilings": _ceilings,
        "cheaper_than": lambda slug: f"cheaper than {slug}",
        "min_context_tokens": lambda n: f"at least {n:,} tokens of context",
        "min_output_tokens": lambda n: f"at least {n:,} tokens of output",
        "input_types": lambda types: f"takes {_listed(types)}",
        "output_types": lambda types: f"gives {_listed(types)}",
        "tool_calling": _flag("with tool calling", "without tool calling"),
        "reasoning": _flag("with reasoning", "without reasoning"),
        "structured_output": _flag("with structured output", "without structured output"),
        "vendors": _any("made by "),
        "not_vendors": _any("not made by "),
        "families": _any("of the family "),
        "not_families": _any("not of the family "),
        "providers": _any("sold by "),
        "not_providers": _any("not sold by "),
        "licences": _any("licensed as "),
        "not_licences": _any("not licensed as "),
        "must_have": lambda words: f"must have {_listed(words)}",
        "must_not_have": _any("must not have "),
        "released_since": _day("released on or after"),
        "released_before": _day("released before"),
    }
)
OPPOSED = (
    ("kinds", "not_kinds"),
    ("vendors", "not_vendors"),
    ("families", "not_families"),
    ("providers", "not_providers"),
    ("licences", "not_licences"),
    ("must_have", "must_not_have"),
)
FLAG_KEYS = MappingProxyType(
    {
        "tool_calling": "tool-calling",
        "reasoning": "reasoning",
        "structured_output": "structured-output",
    }
)
STRICTER: Mapping[str, Callable[[Any, Any], Any]] = MappingProxyType(
    {
        "min_context_tokens": max,
        "min_output_tokens": max,
        "released_since": max,
        "released_before": min,
    }
)
