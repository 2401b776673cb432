"""What the rules of reading make, and how they are found by the words that they begin with."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from matchgraph.domain.conditions import sentences_of
from matchgraph.domain.need import Where
from matchgraph.domain.understanding.line import Line

ANYTHING = Where()


@dataclass(frozen=True)
class Reading:
    """One thing understood. `id` is stable within a text, so that a client can switch it off;
    `span` and `words` say where it stands in the text as it was given."""

    id: str
    span: tuple[int, int]
    words: str
    sentence: str
    where: Where = ANYTHING
    like: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()


@dataclass(frozen=True)
class Part:
    """A reading while it is still a stretch of tokens. One that keeps its words leaves them in the
    rest, for they say what is wanted as well ("text to image")."""

    start: int
    end: int
    id: str
    where: Where = ANYTHING
    like: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()
    keeps: bool = False

    def reading(self, id_: str, span: tuple[int, int], words: str) -> Reading:
        """The reading as it is handed out."""
        sentence = "; ".join(sentences_of(self.where).values())
        if self.like or self.unlike:
            sentence = f"like {self.like[0]}" if self.like else f"unlike {self.unlike[0]}"
        return Reading(id_, span, words, sentence, self.where, self.like, self.unlike)


# Parts that are read together or not at all, such as a list of names.
Group = list[Part]
Rule = Callable[[Line, int], Iterator[Group]]
WholeRule = Callable[[Line], Iterator[Group]]
RULES: defaultdict[str, list[Rule]] = defaultdict(list)
WHOLE_RULES: list[WholeRule] = []
NUMBER_KEY = "0"


def starts(words: str) -> Callable[[Rule], Rule]:
    """A rule that is tried wherever one of the words begins; 0 stands for any number."""

    def register(rule: Rule) -> Rule:
        for word in dict.fromkeys(words.split()):
            RULES[word].append(rule)
        return rule

    return register


def everywhere(rule: WholeRule) -> WholeRule:
    """A rule that looks at the whole text once, for what can begin with any word."""
    WHOLE_RULES.append(rule)
    return rule


def groups(line: Line) -> Iterator[Group]:
    """What any rule finds, in no order and also over each other."""
    for i, word in enumerate(line.words):
        if line.tokens[i].glued:
            continue
        for rule in RULES.get(word, ()):
            yield from rule(line, i)
        if word.lstrip(".")[:1].isdigit():
            for rule in RULES[NUMBER_KEY]:
                yield from rule(line, i)
    for whole in WHOLE_RULES:
        yield from whole(line)


def where_of(name: str, value: Any) -> Where:
    """The condition by its name alone."""
    return Where(**{name: value})
