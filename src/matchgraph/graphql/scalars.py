"""Scalars that GraphQL itself lacks, and what every text and number from outside must be."""

import re
from decimal import Decimal, InvalidOperation
from typing import NewType

import strawberry
from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition

from matchgraph.domain.text import UNPRINTABLE

MOST_POSITION = 2**63 - 1

# What is no number in mathematics either is left to the domain, which says why it is no price.
DECIMAL = re.compile(r"-?([0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?|NaN|Infinity)")

Position = NewType("Position", int)
Amount = NewType("Amount", Decimal)
Count = NewType("Count", int)


class BadInput(GraphQLError):
    """An input makes no sense; says which one and what it should be."""

    def __init__(self, message: str, code: str = "BAD_USER_INPUT", **facts: object) -> None:
        super().__init__(message, extensions={"code": code, **facts})


def _read_position(value: object) -> Position:
    if not isinstance(value, str) or not (value.isascii() and value.isdigit()):
        raise BadInput(f'{value!r} is not a Position: a string of digits, such as "42".')
    if len(value) > 19 or int(value) > MOST_POSITION:
        raise BadInput("That Position is beyond any that there can be.")
    return Position(int(value))


def _read_decimal(value: object) -> Amount:
    if isinstance(value, float):
        raise BadInput('A float is not exact: write the Decimal as a string, such as "0.25".')
    try:
        if not isinstance(value, bool) and DECIMAL.fullmatch(str(value)):
            return Amount(Decimal(str(value)))
    except (InvalidOperation, ValueError):
        pass
    raise BadInput(f'{str(value)[:60]!r} is not a Decimal, such as "0.25".')


def _read_count(value: object) -> Count:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MOST_POSITION:
        raise BadInput(f"{str(value)[:60]!r} is not a whole number of 64 bits.")
    return Count(value)


SCALARS: dict[object, ScalarDefinition] = {
    Position: strawberry.scalar(
        name="Position",
        description=(
            'An event\'s place in the one order of all events: "1", "2", "3" and so on, '
            "without gaps. A string, because a GraphQL Int ends at 31 bits."
        ),
        serialize=str,
        parse_value=_read_position,
    ),
    Amount: strawberry.scalar(
        name="Decimal",
        description=('An exact decimal number as a string without exponent, such as "0.00000025".'),
        serialize=lambda value: format(value, "f"),
        parse_value=_read_decimal,
    ),
    Count: strawberry.scalar(
        name="Long",
        description="A whole number of up to 64 bits, for counts beyond the 31 bits of Int.",
        serialize=int,
        parse_value=_read_count,
    ),
}


def text(field: str, value: str, *, limit: int = 10_000) -> str:
    """Returns a text that the database can hold. Raises: BadInput."""
    if len(value) > limit:
        raise BadInput(f"{field} has {len(value)} characters; at most {limit} are taken.")
    if UNPRINTABLE.search(value):
        raise BadInput(f"{field} holds characters that cannot be stored, such as NUL.")
    return value


def several(field: str, values: list[str], *, most: int = 250) -> list[str]:
    """Returns texts that the database can hold, not too many. Raises: BadInput."""
    if len(values) > most:
        raise BadInput(f"{field} has {len(values)} entries; at most {most} are taken.")
    return [text(field, value) for value in values]
