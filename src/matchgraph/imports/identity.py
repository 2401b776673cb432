"""Which model an offer sells: one slug for all spellings that providers use for one model.

Read by the importers beside it. The rules, the measurements and the doubtful cases are in
docs/identity.md.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from matchgraph.domain import text


@dataclass(frozen=True, kw_only=True)
class Identity:
    """The model that an offer sells.

    `vendor` is the maker as far as the offer's prefix or the model's family tells. `variants` says
    how the same model is served here: "free", "fast", "fp8", "thinking". `rules` are the names of
    the rules that had to change something. `bare` is the id as the provider spells it, without
    any prefix, and `pointer` says that it may lead to another model tomorrow.
    """

    slug: str
    vendor: str | None = None
    variants: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    bare: str = ""
    pointer: bool = False


@dataclass(frozen=True)
class NotAModel:
    """Why an offer is no model of its own."""

    reason: str


class Rule(NamedTuple):
    """One step: what it finds, what it leaves, and the label of the variant it takes away."""

    name: str
    pattern: re.Pattern[str]
    leaves: str
    label: str | None = None


def _rules(name: str, *steps: tuple[str, ...]) -> tuple[Rule, ...]:
    return tuple(
        Rule(name, re.compile(step[0]), step[1], step[2] if len(step) > 2 else None)
        for step in steps
    )


# Not models: an offer that picks the model by itself, or a service built around one.
NOT_MODELS = tuple(
    (re.compile(pattern), reason)
    for reason, patterns in {
        "picks a model by itself (router)": (
            r"^(?:.*/)?auto$",
            r"^auto-model(-.*)?$",
            r"^kilo-auto/",
            r"^openrouter/(?:free|bodybuilder|pareto-code)$",
            r"^switchpoint/router$",
            r"^orcarouter/",
            r"^model-router$",
            r"^route-llm$",
            r"^tc-code-latest$",
            r"^(?:agent|code|text)-(?:max|prime|standard)$",
        ),
        "a placeholder for the user's own model": (r"^custom$",),
        "a service around a model": (
            r"^brave(?:-pro|-research)?$",
            r"^exa-(?:answer|research|research-pro)$",
            r"^fastgpt$",
            r"^universal-summarizer$",
            r"^trytako/tako$",
            r"^poetools/claude-code$",
            r"^study_gpt-",
            r"^deepclaude$",
            r"-reasoner$(?<!^deepseek-reasoner)(?<!/deepseek-reasoner)",
        ),
    }.items()
    for pattern in patterns
)

# Where an offer's own name, context and date say which model a vague id means there.
EXCEPTIONS = {
    ("alibaba-cn", "deepseek-r1-distill-qwen-1-5b"): "deepseek-r1-distill-qwen-1.5b",
    ("amazon-bedrock", "deepseek.v3-v1:0"): "deepseek-v3.1",
    ("amazon-bedrock", "nvidia.nemotron-nano-12b-v2"): "nemotron-nano-12b-v2-vl",
    ("amazon-bedrock", "qwen.qwen3-next-80b-a3b"): "qwen3-next-80b-a3b-instruct",
    ("amazon-bedrock", "qwen.qwen3-vl-235b-a22b"): "qwen3-vl-235b-a22b-instruct",
    ("databricks", "databricks-gemini-3-1-flash-lite"): "gemini-3.1-flash-lite-preview",
    ("digitalocean", "fal-ai/elevenlabs/tts/multilingual-v2"): "elevenlabs-multilingual-v2",
    ("digitalocean", "fal-ai/flux/schnell"): "flux.1-schnell",
    ("digitalocean", "fal-ai/stable-audio-25/text-to-audio"): "stable-audio-2.5",
    ("digitalocean", "llama3-8b-instruct"): "llama-3.1-8b-instruct",
    ("digitalocean", "mistral-3-14b"): "ministral-3-14b",
    ("github-copilot", "claude-opus-41"): "claude-opus-4.1",
    ("kilo", "deepseek/deepseek-chat"): "deepseek-v3",
    ("nano-gpt", "mistralai/mistral-large"): "mistral-large-2411",
    ("ollama-cloud", "kimi-k2:1t"): "kimi-k2-0905",
    ("opencode", "kimi-k2"): "kimi-k2-0905",
    ("openrouter", "deepseek/deepseek-chat"): "deepseek-v3",
    ("ollama-cloud", "qwen3-next:80b"): "qwen3-next-80b-a3b-thinking",
    ("ollama-cloud", "qwen3-vl:235b"): "qwen3-vl-235b-a22b-thinking",
    ("venice", "qwen3-next-80b"): "qwen3-next-80b-a3b-instruct",
    ("venice", "qwen3-vl-235b-a22b"): "qwen3-vl-235b-a22b-instruct",
    ("vercel", "alibaba/qwen-3-235b"): "qwen3-235b-a22b-instruct-2507",
    ("vercel", "alibaba/qwen3-vl-instruct"): "qwen3-vl-235b-a22b-instruct",
    ("vercel", "alibaba/qwen3-vl-thinking"): "qwen3-vl-235b-a22b-thinking",
    ("vercel", "deepseek/deepseek-v3"): "deepseek-v3-0324",
    ("vercel", "mistral/ministral-14b"): "ministral-3-14b",
    ("vercel", "mistral/mistral-medium"): "mistral-medium-3.1",
    ("vercel", "mistral/mistral-small"): "mistral-small-4",
}

REGIONS = ("us", "eu", "au", "jp", "global", "regional", "apac")
QUANTISATIONS = (
    r"fp8(?:-dynamic)?|fp4|nvfp4|fp16|bf16|awq|gguf|int4-mixed-ar|mlx-4bit|\dbit|q4_k_m|iq4_xs"
)

ADDRESSES = (
    *_rules(
        "address",
        (r"^accounts/fireworks/(?:models|routers)/", ""),
        (r"^(?:workers-ai/)?@cf/", ""),
        (r"^hf:", ""),
        (r"^~", ""),
        (r"^(?:route|public|pro|chutesai|fal-ai|siliconflow)/", ""),
        (r"^tee/", "", "tee"),
        (r"/[^/]+/models/", "/"),
        (r"^(?:databricks|alicloud|coding|deep)-(?=[a-z])(?!deepseek-(?:chat|v))", ""),
        (r"^(?:alicloud|deep)-(?=deepseek)", ""),
        (r"^azure-(?=gpt|o\d)", ""),
        (r"^umans-(?=glm|kimi|qwen)", ""),
        (r"^duo-chat-(?=gpt)", ""),
        (r"^duo-chat-(?=haiku|sonnet|opus)", "claude-"),
        (r"^(?:cerebras|groq)-(?=llama)", ""),
        (r"^(?:cerebras|fireworks-ai|novita|empiriolabs)/(.*?)(?:-(?:cs|fw|n|el|t))?$", r"\1"),
        (r"@default$", ""),
        (r"@(?=\d{8}$)", "-"),
        # Bedrock's revisions; a second version (v2:0) is a model's own unless a date precedes it.
        (r"(?:-v[01]|(?<=\d{8})-v2|-1)?:\d$", ""),
    ),
    *(
        rule
        for region in REGIONS
        for rule in _rules("address", (rf"^{region}\.(?=[a-z])", "", region))
    ),
)

# The makers by the prefixes that providers put before a model. None stands for those who only
# host or convert what others made.
VENDORS: dict[str, str | None] = {
    prefix: vendor
    for vendor, prefixes in {
        "Abacus.AI": "abacusai",
        "AI Singapore": "aisingapore",
        "AI21 Labs": "ai21 ai21-labs",
        "AI4Bharat": "ai4bharat",
        "Aion Labs": "aion-labs",
        "Alibaba": "alibaba qwen alibaba-nlp tongyi-zhiwen",
        "AlfredPros": "alfredpros",
        "Allen Institute for AI": "allenai",
        "Amazon": "amazon",
        "Anthracite": "anthracite-org",
        "Anthropic": "anthropic",
        "Arcee AI": "arcee-ai arcee_ai",
        "BAAI": "baai",
        "Baichuan": "baichuan",
        "Baidu": "baidu paddlepaddle",
        "Black Forest Labs": "bfl black-forest-labs",
        "ByteDance": "bytedance bytedance-seed volcengine",
        "Canopy Labs": "canopylabs",
        "Clarifai": "clarifai",
        "Cognitive Computations": "cognitivecomputations",
        "Cohere": "cohere",
        "Core42": "core42",
        "CrucibleLab": "cruciblelab",
        "Deep Cogito": "deepcogito",
        "Deepgram": "deepgram",
        "DeepSeek": "deepseek deepseek-ai",
        "DMind": "dmind",
        "Doctor-Shotgun": "doctor-shotgun",
        "ElevenLabs": "elevenlabs",
        "Envoid": "envoid",
        "Essential AI": "essentialai",
        "EVA-UNIT-01": "eva-unit-01",
        "FailSpy": "failspy",
        "Featherless AI": "featherless-ai",
        "GalrionSoftworks": "galrionsoftworks",
        "Google": "google",
        "Groq": "groq",
        "Gryphe": "gryphe",
        "huihui-ai": "huihui-ai",
        "IBM": "ibm-granite",
        "Ideogram": "ideogramai",
        "Inception": "inception",
        "inclusionAI": "inclusionai",
        "Infermatic": "infermatic",
        "inflatebot": "inflatebot",
        "Inflection AI": "inflection",
        "Interfaze": "interfaze",
        "intfloat": "intfloat",
        "KBLab": "kblab",
        "Kuaishou": "kuaishou kwaipilot",
        "LatitudeGames": "latitudegames",
        "Liquid AI": "liquid",
        "LLM360": "llm360",
        "Luma AI": "lumalabs",
        "Mancer": "mancer",
        "MarinaraSpaghetti": "marinaraspaghetti",
        "MegaNova AI": "meganova-ai",
        "Meituan": "meituan meituan-longcat",
        "Meta": "meta meta-llama facebook",
        "Microsoft": "microsoft",
        "MiniMax": "minimax minimaxai",
        "MiroMind AI": "miromind-ai",
        "Mistral AI": "mistral mistralai mistral-ai",
        "mlabonne": "mlabonne",
        "Moonshot AI": "moonshot moonshotai kimi",
        "Morph": "morph",
        "MyShell": "myshell-ai",
        "NeverSleep": "neversleep",
        "Nex AGI": "nex-agi",
        "nothingiisreal": "nothingiisreal",
        "Nous Research": "nousresearch",
        "NVIDIA": "nvidia",
        "OpenAI": "openai",
        "OpenPipe": "openpipe",
        "Osmosis": "osmosis",
        "pamanseau": "pamanseau",
        "Perceptron": "perceptron",
        "Perplexity": "perplexity",
        "Pipecat": "pipecat-ai",
        "Poolside": "poolside",
        "Preferred Networks": "pfnet",
        "Prime Intellect": "prime-intellect primeintellect",
        "raifle": "raifle",
        "ReadyArt": "readyart",
        "Recraft": "recraft",
        "rednote": "rednote-hilab",
        "Reka AI": "rekaai",
        "Relace": "relace",
        "Runway": "runwayml",
        "Salesforce": "salesforce",
        "Sao10K": "sao10k",
        "Sapiens AI": "sapiens-ai",
        "Sarvam AI": "sarvamai",
        "Shisa AI": "shisa-ai",
        "soob3123": "soob3123",
        "SpeakLeash": "speakleash",
        "Stability AI": "stabilityai",
        "Steelskull": "steelskull",
        "StepFun": "stepfun stepfun-ai",
        "Tencent": "tencent",
        "TheDrummer": "thedrummer",
        "TNG Technology Consulting": "tngtech",
        "Topaz Labs": "topazlabs-co",
        "undi95": "undi95",
        "Upstage": "upstage",
        "Vercel": "vercel",
        "VongolaChouko": "vongolachouko",
        "Voyage AI": "voyage",
        "Writer": "writer",
        "xAI": "xai x-ai",
        "Xiaomi": "xiaomi xiaomimimo",
        "Z.ai": "zai z-ai zai-org zhipuai thudm",
        "Huawei": "ascend-tribe",
        None: (
            "openrouter unsloth neuralmagic cortecs intel baseten huggingface cerebras novita "
            "fireworks-ai empiriolabs grok poetools"
        ),
    }.items()
    for prefix in prefixes.split()
}

# Dots and dashes can be part of a name, so only these prefixes are taken before one.
PREFIXES = (
    r"^(?P<vendor>[a-z0-9_.-]+)(?: \d)?/(?:.*/)?(?=[^/]+$)",
    r"^(?P<vendor>amazon|anthropic|deepseek|google|meta|minimax|mistral|moonshot|moonshotai|nvidia"
    r"|openai|qwen|writer|zai)\.(?=[a-z])",
    r"^(?P<vendor>anthropic)--?(?=claude)",
    r"^(?P<vendor>ai21)-(?=jamba)",
    r"^(?P<vendor>aion-labs)-(?=aion)",
    r"^(?P<vendor>alibaba)-(?=qwen)",
    r"^(?P<vendor>arcee)-(?=trinity)",
    r"^(?P<vendor>cohere)-(?=command)",
    r"^(?P<vendor>google)-(?=gemma|paligemma)",
    r"^(?P<vendor>meta)-(?=llama)",
    r"^(?P<vendor>moonshot)-(?=kimi)",
    r"^(?P<vendor>nvidia)-(?=nemotron)",
    r"^(?P<vendor>openai)-(?=gpt|o\d)",
    r"^(?P<vendor>qwen)-(?=qwq)",
    r"^(?P<vendor>z-ai|zai-org|zai)-(?=glm)",
    r"^(?P<vendor>xiaomi)-(?=mimo)",
)
PREFIX = tuple(re.compile(pattern) for pattern in PREFIXES)

# How a model is served, not which one it is.
VARIANTS = (
    *_rules("free", (r"[:-]free$", "", "free")),
    *_rules(
        "hosting",
        (r"-tee$", "", "tee"),
        (r"-maas$", "", "maas"),
        (r"-original$", "", "original"),
        (r"-sambanova$", "", "sambanova"),
        (r"-cheaper$", "", "cheaper"),
        (r"(?<=-it)-together$", "", "together"),
        (r":web$", "", "web"),
        (r":batch$", "", "batch"),
        (r":optimized$", "", "optimized"),
        (r"(?<=-instruct)-lite$", "", "lite"),
        (r"(?<=a47b)-paddle$", "", "paddle"),
        (r"(?<=^qwen2\.5-72b-instruct)-128k$", "", "128k"),
        (r"(?<=^glm-4-32b-0414)-128k$", "", "128k"),
    ),
    *_rules(
        "thinking switched on or off",
        (r":thinking(?::\w+)?$", "", "thinking"),
        (r"^(claude-.*)-think(?:ing)?(?::\d+)?$", r"\1", "thinking"),
        (r"^(deepseek-v3\.[12].*|kimi-k2\.\d|mimo-v2-flash)-thinking$", r"\1", "thinking"),
        (r"^(gemini-(?:2\.5|3)-.*)-thinking$", r"\1", "thinking"),
        (r"^(gemini-2\.5-flash)-nothink(?:ing)?$", r"\1", "non-thinking"),
        (r"^(grok-4(?:\.\d+)?-(?:fast|beta-0309|0309))-(?=(?:non-)?reasoning)", r"\1:"),
        (r"^(grok-4\.20)-(?=(?:non-)?reasoning)", r"\1:"),
        (r":non-reasoning(?:-beta)?$", "", "non-reasoning"),
        (r":reasoning(?:-beta)?$", "", "reasoning"),
        (r"^(o3-mini|o4-mini)-high$", r"\1", "high effort"),
        (r"^(o3-mini)-low$", r"\1", "low effort"),
        (r"^(gpt-5\.3-codex)-xhigh$", r"\1", "xhigh effort"),
    ),
    *_rules(
        "speed",
        (
            r"^(claude-opus-4\.\d|deepseek-v3\.\d|glm-5(?:\.1)?|gpt-oss-\d+b|kimi-k2.*|minimax-m.*"
            r"|qwen3\.\d-\d+b.*|qwen3-.*(?:thinking|instruct)-2507|qwen3-.*-thinking"
            r"|qwen2\.5-coder-7b|llama-3.*)-fast$",
            r"\1",
            "fast",
        ),
        (r"^(grok-3(?:-mini)?)-fast(?=-beta$|$)", r"\1", "fast"),
        (
            r"^(deepseek-(?:v3|r1)|gemma-4-31b|kimi-k2.+|llama-3.*|qwen3-coder-.*)-turbo$",
            r"\1",
            "turbo",
        ),
        (r"^(minimax-m.*)-highspeed$", r"\1", "highspeed"),
        (r"^(minimax-m.*)-lightning$", r"\1", "lightning"),
        (r"^(.*)-high-throughput$", r"\1", "high-throughput"),
        (r"^(qwen3-.*)-tput$", r"\1", "tput"),
        (r"^(llama-3.1-8b)-instant$", r"\1", "instant"),
        (r"^(llama-3.3-70b)-versatile$", r"\1", "versatile"),
    ),
    *(
        rule
        for quantisation in QUANTISATIONS.split("|")
        for rule in _rules("quantisation", (rf"-({quantisation})$", "", r"\1"))
    ),
)

SPELLINGS = _rules(
    "spelling",
    (r"[^a-z0-9.:_-]+", "-"),
    (r"^flux_", "flux."),
    (r"(?<=\d)[p_](?=\d)", "."),
    (r":(?=\d+(?:b|t)(?:-|$))", "-"),
    # 3-5 is 3.5 unless the second number is a size (3-8b), a date (05-06) or begins one.
    (r"(?<![\d.])([1-9])-(\d|[1-9]\d)(?=$|:|-(?!\d{1,2}(?:-|$)))", r"\1.\2"),
    (r"^gpt-5([2-5])(?=-|$)", r"gpt-5.\1"),
    (r"^minimax-m2([57])$", r"minimax-m2.\1"),
    (r"^qwen-?([23])5(?=-)", r"qwen\1.5"),
    (r"^(?:qwen)-?(?=\d)", "qwen"),
    (r"^(llama|gemma|glm)-?(?=\d)", r"\1-"),
    (r"^llama-v(?=\d)", "llama-"),
    (r"-0-(\d)b$", r"-0.\1b"),
    (r"^deepseek_", "deepseek-"),
    (r"^l31-", "l3.1-"),
    (r"^k(?=2\.\d)", "kimi-k"),
    (r"^mistral-small-?31-", "mistral-small-3.1-"),
    (r"^mistral-small(?=\d)", "mistral-small-"),
    (r"^deepseek-(?=3\.)", "deepseek-v"),
    (r"^deepseek-chat-(?=v)", "deepseek-"),
    (r"^(?=(?:r1|v3\.2)$)", "deepseek-"),
    (r"^stepfun-(?=3\.5)", "step-"),
    (r"^solar-pro-(?=\d)", "solar-pro"),
    (r"-v03$", "-v0.3"),
    (r"^claude-(opus|sonnet|haiku)(?=\d)", r"claude-\1-"),
    (r"^claude-([4-9](?:\.\d+)?)-(opus|sonnet|haiku)(?=-|:|$)", r"claude-\2-\1"),
    (r"^claude-(opus|sonnet|haiku)-(3(?:\.\d)?)(?=-|:|$)", r"claude-\2-\1"),
    (r"^(claude-(?:opus|sonnet)-4|gemini-3|imagen-4)\.0(?=-|$)", r"\1"),
    (r"^(claude-.*)-v1$", r"\1"),
    (r"^(nova(?:-2)?-(?:lite|micro|pro|premier))-v1$", r"\1"),
    (r"^gemini-(flash|pro)-1\.5$", r"gemini-1.5-\1"),
    (r"^(grok-build)-0-1$", r"\1-0.1"),
)

# Dates that say when the one version appeared, not which of several it is.
DATES = _rules(
    "date",
    (r"^(claude-(?!3\.5-sonnet-20240620).*?)-20\d{6}(?=$|-|:)", r"\1"),
    (r"^(gpt-(?:4\.1|5).*|gpt-4o-mini|o3-pro)-20\d\d-\d\d-\d\d$", r"\1"),
    (r"^(gemini-2\.0-flash(?:-lite)?|imagen-4(?:-\w+)?)(?:-generate)?-001$", r"\1"),
    (r"^(imagen-4(?:-\w+)?)-generate$", r"\1"),
    (r"^(grok-4)-0?7?-?0?709$", r"\1"),
    (r"^(grok-4)-07-09$", r"\1"),
    (r"^(grok-4\.20(?:-multi-agent)?)(?:-beta)?-0309$", r"\1"),
    (r"^(grok-4\.20(?:-multi-agent)?|grok-3(?:-mini)?)-beta$", r"\1"),
    (r"^(deepseek-v3\.2)-251201$", r"\1"),
    (r"^(doubao-1\.5-thinking-pro)-250415$", r"\1"),
    (r"^(doubao-seed-1\.8)-251215$", r"\1"),
    (r"^(doubao-seed-2\.0-(?:pro|lite|mini|code-preview))-260215$", r"\1"),
    (r"^(seed-1\.8)-251228$", r"\1"),
    (r"^(qwen3\.5-flash)-02-23$", r"\1"),
    (r"^(command-a)-03-2025$", r"\1"),
    (r"^(pixtral-12b)-2409$", r"\1"),
    (r"^(pixtral-large)-2411$", r"\1"),
)

# Size and tuning left out or written otherwise where only one of them is on offer.
FORMS = _rules(
    "form",
    (r"^(llama-3(?:\.[123])?-(?:405|70|8|3|1)b)$", r"\1-instruct"),
    (r"^llama-3\.2-(11|90)b(?:-instruct)?$", r"llama-3.2-\1b-vision-instruct"),
    (r"^llama-3-(70|8)b-8192$", r"llama-3-\1b-instruct"),
    (r"^(llama-4-(?:maverick|scout))-17b(?:-\d+e)?-instruct$", r"\1"),
    (r"^(gemma-[34]-\d+b(?:-a\d+b)?)$", r"\1-it"),
    (r"^(nemotron-3-nano-30b|nemotron-3-super-120b)$", r"\1-a3b"),
    (r"^nemotron-3-nano-omni-30b-a3b-reasoning$", "nemotron-3-nano-omni"),
    (r"^nemotron-nano-3-30b$", "nemotron-3-nano-30b-a3b"),
    (
        r"^nemotron-(?:3-super|super-3-120b|3-super-120b-a3b|(?:3-)?120b-a12b)$",
        "nemotron-3-super-120b-a12b",
    ),
    (r"^(llama-3\.1-nemotron-ultra-253b)$", r"\1-v1"),
    (r"^(phi-4-(?:mini|multimodal))$", r"\1-instruct"),
    (r"^(qwen3\.5-397b)$", r"\1-a17b"),
    (r"^(qwen3\.6-35b)$", r"\1-a3b"),
    (r"^(qwen3\.5-122b)$", r"\1-a10b"),
    (r"^qwen3-235b$", "qwen3-235b-a22b"),
    (r"^qwen3-235b-2507$", "qwen3-235b-a22b-instruct-2507"),
    (r"^(qwen3-(?:235b-a22b|30b-a3b))-2507$", r"\1-instruct-2507"),
    (r"^(qwen3-235b-a22b-(?:instruct|thinking))$", r"\1-2507"),
    (r"^qwen3-30b$", "qwen3-30b-a3b"),
    (r"^qwen3-coder(?:-480b(?:-a35b)?)?$", "qwen3-coder-480b-a35b-instruct"),
    (r"^qwen3-coder-30b(?:-a3b)?$", "qwen3-coder-30b-a3b-instruct"),
    (r"^qwen3-vl-235b-instruct$", "qwen3-vl-235b-a22b-instruct"),
    (r"^(qwen2\.5-coder-(?:7|32)b)$", r"\1-instruct"),
    (r"^qwen2\.5-7b-vision-instruct$", "qwen2.5-vl-7b-instruct"),
    (r"^deepseek-v3\.1-671b$", "deepseek-v3.1"),
    (r"^cogito-2\.1-671b$", "cogito-v2.1-671b"),
    (r"^rnj-1-8b$", "rnj-1-instruct"),
    (r"^glm-4-32b$", "glm-4-32b-0414"),
    (r"^baichuan-m2$", "baichuan-m2-32b"),
    (r"^llama-guard-4$", "llama-guard-4-12b"),
    (r"^qwen2\.5-32b-eva-v0\.2$", "eva-qwen2.5-32b-v0.2"),
    (r"^l3-70b-euryale-v2\.1$", "l3-euryale-70b"),
    (r"^l3\.1-70b-euryale-v2\.2$", "l3.1-euryale-70b"),
    (r"^l3\.3-70b-euryale-v2\.3$", "l3.3-euryale-70b"),
    (r"^l3-8b-lunaris$", "l3-lunaris-8b"),
    (r"^l3\.3-(cu-mai-r1|electra-r1|ms-nevoria)-70b$", r"llama-3.3-70b-\1"),
)

# One model under two official names.
NAMES = _rules(
    "name",
    (r"^mistral-large-(?:2512|3-675b(?:-instruct(?:-2512)?)?)$", "mistral-large-3"),
    (r"^mistral-large-instruct-2411$", "mistral-large-2411"),
    (r"^mistral-medium-(?:2505|3-instruct)$", "mistral-medium-3"),
    (r"^mistral-medium-2508$", "mistral-medium-3.1"),
    (r"^mistral-medium-(?:2604|3\.5-128b)$", "mistral-medium-3.5"),
    (r"^mistral-small-24b-instruct-2501$", "mistral-small-3"),
    (r"^mistral-small-(?:2503|3\.1-24b-instruct(?:-2503)?)$", "mistral-small-3.1"),
    (r"^mistral-small-(?:2506|3\.2-24b-instruct(?:-2506)?)$", "mistral-small-3.2"),
    (r"^mistral-small-(?:2603|4-119b(?:-2603)?)$", "mistral-small-4"),
    (r"^mistral-nemo(?:-12b)?-instruct(?:-2407)?$", "mistral-nemo"),
    (r"^(?:devstral-2512|devstral-2-123b(?:-instruct-2512)?)$", "devstral-2"),
    (
        r"^(?:labs-)?devstral-small-(?:2512|2-24b(?:-instruct-2512)?)$",
        "devstral-small-2",
    ),
    (r"^devstral-small$", "devstral-small-2507"),
    (r"^devstral-medium$", "devstral-medium-2507"),
    (r"^ministral-(\d+)b(?:-instruct)?-2512$", r"ministral-3-\1b"),
    (r"^ministral-3-(\d+)b-instruct(?:-2512)?$", r"ministral-3-\1b"),
    (r"^open-mixtral-(8x\d+b)$", r"mixtral-\1-instruct"),
    (r"^(mixtral-8x\d+b-instruct)-v0\.1$", r"\1"),
    (r"^mistral-saba-24b$", "mistral-saba"),
    (r"^kimi-k2-(?:0711(?:-preview)?|instruct(?:-0711)?)$", "kimi-k2"),
    (r"^kimi-k2-(?:0905-preview|instruct-0905)$", "kimi-k2-0905"),
    (r"^(gpt-5(?:\.\d)?-chat)-latest$", r"\1"),
    (r"^(gpt-5\.[123])-instant$", r"\1-chat"),
    (r"^(gpt-5(?:\.1)?)-thinking$", r"\1"),
    (r"^gpt-4o-aug$", "gpt-4o-2024-08-06"),
    (r"^(gpt-4o(?:-mini)?-search)$", r"\1-preview"),
    (r"^gpt-4-classic-0314$", "gpt-4-0314"),
    (r"^claude-3\.5-sonnet-v2$", "claude-3.5-sonnet"),
    # The last of their line: nothing newer will come under these names.
    (r"^(claude-3(?:\.[57])?-(?:haiku|sonnet|opus))-latest$", r"\1"),
    (r"^claude-3\.5-sonnet-june$", "claude-3.5-sonnet-20240620"),
    (r"^gemini-2\.5-pro-preview$", "gemini-2.5-pro-preview-06-05"),
    (r"^nano-banana$", "gemini-2.5-flash-image"),
    (r"^nano-banana-pro$", "gemini-3-pro-image-preview"),
    (r"^grok-code$", "grok-code-fast-1"),
    (r"^(?:cohere-)?embed-v-?4\.0$", "cohere-embed-v4"),
    (r"^stablediffusionxl$", "stable-diffusion-xl"),
    (r"^kat-coder-pro$", "kat-coder-pro-v1"),
    (r"^rocinante-12b$", "rocinante-12b-v1.1"),
    (r"^unslopnemo-12b$", "unslopnemo-12b-v4.1"),
    # Bare, it reads like the next one of Amazon's Nova models.
    (r"^nova-3$", "deepgram-nova-3"),
)

# Names that lead to whatever is newest; in this data they show the figures of what they lead to.
# They merge, but never become aliases, because they will lead elsewhere.
POINTERS = _rules(
    "pointer",
    (r"^mistral-large-latest$", "mistral-large-3"),
    (r"^mistral-medium-latest$", "mistral-medium-3.5"),
    (r"^mistral-small-latest$", "mistral-small-4"),
    (r"^devstral-medium-latest$", "devstral-2"),
    (r"^(ministral-[38]b)-latest$", r"\1"),
    (r"^(pixtral-large)-latest$", r"\1"),
    (r"^(codestral|magistral-medium)$", r"\1-latest"),
    (r"^kimi-k2-turbo(?:-preview)?$", "kimi-k2-0905", "turbo"),
    (r"^(gemini-3-(?:flash|pro|pro-image)|gemini-3\.1-pro)$", r"\1-preview"),
)

STAGES = (SPELLINGS, DATES, VARIANTS, DATES, SPELLINGS, FORMS, NAMES, POINTERS)
RULES: Collection[str] = tuple(
    dict.fromkeys(rule.name for stage in (ADDRESSES, *STAGES) for rule in stage)
)

# Makers by the family a name begins with, for offers without a prefix.
FAMILIES = tuple(
    (re.compile(rf"^(?:{stems})"), vendor)
    for stems, vendor in (
        (r"aion-", "Aion Labs"),
        (r"qwen(?!erky)|qwq-(?:32b$|plus)|qvq-|tongyi-|wan2|z-image", "Alibaba"),
        (r"nova-(?:2-)?(?:lite|micro|pro|premier)|titan-", "Amazon"),
        (r"claude-", "Anthropic"),
        (r"trinity-|coder-large|virtuoso-|maestro-|spotlight$", "Arcee AI"),
        (r"baichuan", "Baichuan"),
        (r"ernie-|paddleocr|qianfan", "Baidu"),
        (r"flux", "Black Forest Labs"),
        (r"doubao-|seed-|ui-tars", "ByteDance"),
        (r"command-|cohere-|c4ai-", "Cohere"),
        (r"aura-2|deepgram-", "Deepgram"),
        (r"bge-", "BAAI"),
        (r"deepseek-(?!tng|v3\.1-nex|r1-distill-.*abliterated)", "DeepSeek"),
        (r"elevenlabs", "ElevenLabs"),
        (r"gemini-|imagen-|veo-|lyria|learnlm|gemma-\d+n?-e?\d+b-it$|text-embedding-005", "Google"),
        (r"granite-", "IBM"),
        (r"mercury-", "Inception"),
        (r"ling-|ring-", "inclusionAI"),
        (r"jamba-", "AI21 Labs"),
        (r"kat-|kling-", "Kuaishou"),
        (r"longcat-", "Meituan"),
        (r"llama-(?:guard|prompt-guard)-|llama-[234](?:\.\d)?-(?:\d+b-)?(?:vision-)?(?:instruct|chat"
         r"|maverick|scout)$", "Meta"),
        (r"phi-|mai-ds", "Microsoft"),
        (r"minimax-", "MiniMax"),
        (r"mistral-(?!nemotron)|mixtral-|ministral-|codestral|devstral|magistral|pixtral|voxtral"
         r"|open-mi[sx]tral", "Mistral AI"),
        (r"kimi-", "Moonshot AI"),
        (r"morph-", "Morph"),
        (r"nemotron-|llama-3\.\d-nemotron-(?!.*abliterated)", "NVIDIA"),
        (r"gpt-|chatgpt-|o[134](?:-|$)|dall-e|sora-|codex-|whisper-|text-embedding-(?:3|ada)",
         "OpenAI"),
        (r"sonar", "Perplexity"),
        (r"stable-diffusion|stable-audio", "Stability AI"),
        (r"step-", "StepFun"),
        (r"hunyuan-|hy3", "Tencent"),
        (r"sarvam-", "Sarvam AI"),
        (r"solar-", "Upstage"),
        (r"v0-", "Vercel"),
        (r"voyage-", "Voyage AI"),
        (r"palmyra-", "Writer"),
        (r"grok-", "xAI"),
        (r"mimo-", "Xiaomi"),
        (r"yi-", "01.AI"),
        (r"glm-(?!.*(?:derestricted|heretic))|autoglm", "Z.ai"),
        (r"stable", "Stability AI"),
    )
)  # fmt: skip

# Tunings by the community: by who publishes them, and by what their names are made of.
TUNERS = frozenset(
    (
        "AlfredPros",
        "Anthracite",
        "Cognitive Computations",
        "CrucibleLab",
        "Doctor-Shotgun",
        "Envoid",
        "EVA-UNIT-01",
        "FailSpy",
        "Featherless AI",
        "GalrionSoftworks",
        "Gryphe",
        "huihui-ai",
        "Infermatic",
        "inflatebot",
        "LatitudeGames",
        "MarinaraSpaghetti",
        "mlabonne",
        "NeverSleep",
        "nothingiisreal",
        "OpenPipe",
        "raifle",
        "ReadyArt",
        "Sao10K",
        "soob3123",
        "Steelskull",
        "TheDrummer",
        "undi95",
        "VongolaChouko",
    )
)
TUNED = re.compile(
    r"abliterated|derestricted|uncensored|heretic|arliai|-eva-v"
    r"|^gemma-3-27b-(?!it$)|^llama-3\.3-(?:70b-(?!instruct$)|3\.1v|3v)|^llama-3\.05-"
    r"|^shisa-v2|^dolphin-"
)
CLEAN = re.compile(r"[^a-z0-9._]+")


def identify(provider: str, offer: str) -> Identity | NotAModel:
    """Which model `provider` sells under the id `offer`.

    Shape: the same for every provider unless EXCEPTIONS names the offer.
    """
    raw = " ".join(offer.lower().split())
    for pattern, reason in NOT_MODELS:
        if pattern.search(raw):
            return NotAModel(reason)
    known = EXCEPTIONS.get((provider, raw))
    found = _identity(raw, frozenset()) if known is None else _excepted(raw, known)
    return found if text.SLUG.fullmatch(found.slug) else NotAModel("an id that makes no slug")


def without(rule: str, offer: str) -> str:
    """The slug an offer would have without the rules of that name; measures what they merge."""
    return _identity(" ".join(offer.lower().split()), frozenset({rule})).slug


def vendor_of(slug: str, prefixes: Iterable[str | None]) -> str | None:
    """The maker, by the family of the name, else by what the offers' prefixes agree on."""
    if not TUNED.search(slug):
        for stem, vendor in FAMILIES:
            if stem.search(slug):
                return vendor
    named = {vendor for vendor in prefixes if vendor}
    return named.pop() if len(named) == 1 else None


def is_tuned(slug: str, vendor: str | None) -> bool:
    """Whether the community tuned it from somebody's model."""
    return vendor in TUNERS or bool(TUNED.search(slug))


@cache
def _identity(raw: str, omitted: frozenset[str]) -> Identity:
    name, rules, variants = _applied(ADDRESSES, raw, omitted)
    name, vendor = _without_vendor(name)
    bare = name
    pointer = False
    for stage in STAGES:
        before = name
        name, fired, labels = _applied(stage, name, omitted)
        rules, variants = rules + fired, labels + variants
        pointer = pointer or (stage is POINTERS and name != before)
        while stage is VARIANTS and labels:
            # Variants come in any order: "-fp8-fast", ":optimized:free".
            name, fired, labels = _applied(stage, name, omitted)
            rules, variants = rules + fired, labels + variants
    return Identity(
        slug=CLEAN.sub("-", name).strip("-._"),
        vendor=vendor,
        variants=tuple(dict.fromkeys(variants)),
        rules=tuple(dict.fromkeys(rules)),
        bare=bare,
        pointer=pointer,
    )


def _excepted(raw: str, slug: str) -> Identity:
    plain = _identity(raw, frozenset())
    return Identity(
        slug=slug,
        vendor=plain.vendor,
        variants=plain.variants,
        rules=("exception",),
        bare=slug,
        pointer=True,
    )


def _applied(
    stage: Iterable[Rule], name: str, omitted: Collection[str]
) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    rules: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    for rule in stage:
        found = rule.pattern.search(name)
        if found is None or rule.name in omitted:
            continue
        changed = rule.pattern.sub(rule.leaves, name)
        if changed == name and rule.label is None:
            continue
        if rule.label is not None:
            labels = (found.expand(rule.label), *labels)
        name, rules = changed, (*rules, rule.name)
    return name, rules, labels


def _without_vendor(name: str) -> tuple[str, str | None]:
    vendor: str | None = None
    for pattern in PREFIX:
        found = pattern.search(name)
        if found is not None:
            vendor = VENDORS.get(found["vendor"], vendor) or vendor
            name = name[found.end() :]
    return name, vendor
