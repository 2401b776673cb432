"""The numbers in docs/search.md are those of the code.

`python -m tests.queries.test_search_document` writes them.
"""

import re
from pathlib import Path
from types import ModuleType

from matchgraph.domain import relevance
from matchgraph.graphql import search as graphql
from matchgraph.queries import explanation, need, search, spelling

DOCUMENT = Path(__file__).parents[2] / "docs" / "search.md"
NUMBERS: list[tuple[ModuleType, str, str]] = [
    (graphql, "LONGEST_TEXT", "characters of a need's text"),
    (graphql, "MOST_EXAMPLES", "examples, and as many counterexamples"),
    (graphql, "MOST_ENTRIES", "entries of one list of conditions"),
    (graphql, "PATIENCE", "seconds that an answer waits for being recorded"),
    (spelling, "LONG", "letters from which on a word may have two mistakes"),
    (spelling, "MOST_CORRECTED", "words of a text that are looked up for mistakes"),
    (need, "SAME_INTENT", "cosine from which on two needs are one intent"),
    (search, "BY_WORDS", "candidates by words"),
    (search, "BY_MEANING", "candidates by meaning"),
    (search, "MOST_LISTED", "results of conditions alone"),
    (search, "FEW", "artifacts under conditions that are compared one by one"),
    (search, "MOST_COMPARED", "vectors that are all compared"),
    (search, "BY_MEANING_OF_MANY", "candidates by meaning where there are more vectors than that"),
    (search, "MOST_DESCRIBED", "texts of an artifact that are compared there, and its nearest"),
    (search, "MOST_POSTINGS", "postings that are read to find candidates"),
    (relevance, "WORDS", "most that words count against meaning"),
    (relevance, "WHOLE", "share of the words from which on they count that much"),
    (relevance, "USUAL_WEIGHT", "weight of a word that is said once, in the right place"),
    (relevance, "FURTHER", "what the next texts count beside the best"),
    (relevance, "FURTHER_TEXTS", "how many next texts"),
    (relevance, "ITSELF", "what the artifact as a whole counts beside them"),
    (relevance, "AGAINST", "what likeness to a counterexample counts against it"),
    (relevance, "SAME_KIND", "what being of the example's kind counts"),
    (relevance, "MOST_LEARNED", "most that outcomes of before count"),
    (relevance, "MOST_RANK", "most that rank counts"),
    (relevance, "LEAST_COVERED", "share of the words that a result has at least, or"),
    (relevance, "LEAST_ALIKE", "cosine that a result has at least"),
    (relevance, "EXPLORED_SHARE", "share of searches that show somebody who was hardly seen"),
    (relevance, "LEAST_EXPLORED", "share of the score at the page's end that it has at least"),
    (explanation, "MOST_NEAREST", "who are named where nothing fits"),
]


def table() -> str:
    """The numbers by name, with what they are."""
    rows = [
        f"| `{module.__name__.removeprefix('matchgraph.')}.{name}`"
        f" | {getattr(module, name):,} | {says} |"
        for module, name, says in NUMBERS
    ]
    return "\n".join(["| number | value | what it is |", "|---|---|---|", *rows, ""])


def written(document: str) -> str:
    """The document with the numbers as they are."""
    return re.sub(
        "(<!-- search:constants -->\n).*?(<!-- /search:constants -->)",
        lambda match: match[1] + table() + match[2],
        document,
        flags=re.DOTALL,
    )


def test_the_numbers_in_the_document_are_those_of_the_code() -> None:
    document = DOCUMENT.read_text()
    assert "<!-- search:constants -->" in document
    assert written(document) == document, __doc__


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text()))
