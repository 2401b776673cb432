"""A value: the names that a catalog knows, in every way that people write them.

Made from the catalog by whoever searches; read by understanding. Looking a name up costs one
dictionary access, however many artifacts there are.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

# Words of everyday English, or of the trade, that are names too; such a name is meant only where
# it is written with a capital inside a text that is not all capitals.
PLAIN = frozenset(
    """
    a agent agents alpha ambient anything api app assistant aura base best big brave builder chat
    chroma chutes claw code command compass context continue core cursor data edge embed essential
    example fast flow flux free friendly general human humans image inception inference instant ion
    kilo large light lilac ling liquid lite local lucid magic mai mancer me medium mercury meta mini
    mix model models morph nano nova o one open osmosis other others page people perceptron
    playground plus poe pool poolside pro product prompt ray read relay replicate ring runway scout
    search seed server small smart solar something sonar stable step synthetic test text that thing
    things this tool tools transformers trinity turbo us v venice video vision voice voyage weaver
    web writer yi you
    """.split()  # noqa: SIM905
)
# Licences under which anybody may use, change and pass on; the second also without giving back.
OPEN = re.compile(
    r"(?:mit|apache|bsd|isc|zlib|unlicense|wtfpl|0bsd|bsl|artistic|postgresql|python|psf|ncsa|upl"
    r"|blueoak|l?gpl|agpl|mpl|epl|eupl|cddl|ofl|cc0|ccby(?!nc|nd|sanc|\d*nc)|odc|odbl|pddl|cdla)"
)
PERMISSIVE = re.compile(
    r"(?:mit|apache|bsd|isc|zlib|unlicense|wtfpl|0bsd|bsl|postgresql|python|psf|ncsa|upl|blueoak"
    r"|cc0|pddl|cdlapermissive)"
)
NON_COMMERCIAL = re.compile(r"noncommercial|nonprofit|cc\w*by\w*nc")
COPYLEFT = re.compile(r"(?:l?gpl|agpl|mpl|epl|eupl|cddl|osl|ccbysa)")
LONGEST = 8  # words in a name

Names = Mapping[str, tuple[str, ...]]


def squashed(name: str) -> str:
    """The name without case, blanks and punctuation: "Open AI" and "openai" are one."""
    return "".join(filter(str.isalnum, name.casefold()))


@dataclass(frozen=True)
class Vocabulary:
    """Squashed ways of writing, each with the stored names or slugs that it means."""

    vendors: Names = field(default_factory=dict)
    families: Names = field(default_factory=dict)
    providers: Names = field(default_factory=dict)
    licences: Names = field(default_factory=dict)
    artifacts: Names = field(default_factory=dict)
    capabilities: Names = field(default_factory=dict)
    plain: frozenset[str] = PLAIN
    open_licences: tuple[str, ...] = ()
    permissive_licences: tuple[str, ...] = ()
    non_commercial_licences: tuple[str, ...] = ()
    copyleft_licences: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        *,
        vendors: Mapping[str, Iterable[str]] | None = None,
        families: Mapping[str, Iterable[str]] | None = None,
        providers: Mapping[str, Iterable[str]] | None = None,
        licences: Mapping[str, Iterable[str]] | None = None,
        artifacts: Mapping[str, Iterable[str]] | None = None,
        capabilities: Mapping[str, Iterable[str]] | None = None,
        plain: Collection[str] = (),
    ) -> "Vocabulary":
        """From names as stored, each with further ways of writing it.

        Shape: artifacts by slug, with name and aliases, the best known first, for where two are
            written alike the first is meant; capabilities by key, with their names. Companies are
            known without "AI", "Labs" and the like, families by a first word that several share,
            licences without their version.
        """
        licences = licences or {}
        return cls(
            vendors=_known(vendors or {}, _companies(vendors or {})),
            families=_known(families or {}, _groups(families or {})),
            providers=_known(providers or {}, _companies(providers or {})),
            licences=_known(licences, _licences(licences)),
            artifacts=_known(artifacts or {}, {}, first=True),
            capabilities=_known(capabilities or {}, {}),
            plain=PLAIN | frozenset(map(squashed, plain)),
            open_licences=tuple(sorted(i for i in licences if OPEN.match(squashed(i)))),
            permissive_licences=tuple(sorted(i for i in licences if PERMISSIVE.match(squashed(i)))),
            non_commercial_licences=tuple(
                sorted(i for i in licences if NON_COMMERCIAL.search(squashed(i)))
            ),
            copyleft_licences=tuple(sorted(i for i in licences if COPYLEFT.match(squashed(i)))),
        )


def _known(
    names: Mapping[str, Iterable[str]], derived: Mapping[str, Iterable[str]], first: bool = False
) -> Names:
    known: dict[str, tuple[str, ...]] = {}
    for name, ways in names.items():
        for way in (name, *ways, *derived.get(name, ())):
            key = squashed(way)
            if key and (key not in known or not first):
                known[key] = tuple(dict.fromkeys((*known.get(key, ()), name)))
    return known


COMPANY = re.compile(r"(?i)[ -.](?:ai|labs?|inc|project|technologies|research|software|hq)$")


def _companies(names: Iterable[str]) -> Mapping[str, list[str]]:
    """Short forms: "Mistral AI" is Mistral, "amazon-bedrock" is Bedrock."""
    short: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        bare = COMPANY.sub("", name)
        if bare != name and len(squashed(bare)) > 2:
            short[name].append(bare)
        if name.startswith("amazon-"):
            short[name].append(name.removeprefix("amazon-"))
    return short


def _groups(families: Iterable[str]) -> Mapping[str, list[str]]:
    """A first word that several families share, or that is a family itself, means them all."""
    firsts = {family: re.split(r"[-\d]", family)[0] for family in families}
    shared = Counter(firsts.values())
    return {
        family: [first]
        for family, first in firsts.items()
        if shared[first] > 1 and len(first) > 2 and squashed(first) not in PLAIN
    }


def _licences(licences: Iterable[str]) -> Mapping[str, list[str]]:
    """Apache-2.0 is Apache and Apache 2, GPL-3.0-only is GPL, GPLv3 and GPL 3."""
    ways: defaultdict[str, list[str]] = defaultdict(list)
    for licence in licences:
        bare = re.sub(r"-(?:only|or-later)$", "", licence)
        short = re.sub(r"\.0$", "", bare)
        name = re.sub(r"-[\d.]+(?:-Clause)?$", "", bare)
        ways[licence] += [bare, short, name, re.sub(r"-(?=\d)", "v", short)]
        ways[licence] += [f"{name} license {short.removeprefix(name)}"]
    return ways
