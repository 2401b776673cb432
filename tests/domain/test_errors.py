"""Every refusal can be shown, and the table of errors lists it."""

import re
from dataclasses import fields
from datetime import date, datetime
from pathlib import Path
from typing import get_type_hints

import pytest

from matchgraph.domain import errors
from matchgraph.domain.errors import Refusal

REFUSALS = [
    cls
    for cls in vars(errors).values()
    if isinstance(cls, type) and issubclass(cls, Refusal) and cls is not Refusal
]
TABLE = Path(__file__).parents[2] / "docs" / "errors.md"


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refusal_names_its_facts_in_one_sentence(refusal: type[Refusal]) -> None:
    sample = {
        str: "said",
        int: 2026,
        tuple[int, ...]: (1, 2),
        date: date(2026, 1, 1),
        datetime: datetime.fromisoformat("2026-01-01T00:00:00Z"),
    }
    hints = get_type_hints(refusal)
    made = refusal(**{field.name: sample[hints[field.name]] for field in fields(refusal)})  # type: ignore[arg-type]
    assert str(made) == made.message
    assert made.message.endswith(".")
    assert len(made.message) < 300
    assert "said" in made.message or "2026" in made.message


@pytest.mark.parametrize(
    "name", [refusal.__name__ for refusal in REFUSALS] + ["IdempotencyKeyReused"]
)
def test_the_table_of_errors_has_every_refusal(name: str) -> None:
    assert re.search(rf"^\|.*`{name}`", TABLE.read_text(), re.MULTILINE), f"{name}: add it"
