"""Exact decimals: a number is kept as it was said or not at all, never rounded."""

from decimal import Context, Decimal, Inexact

# Enough digits for every number that the catalog keeps; beyond that it says so and rounds nothing.
EXACT = Context(prec=60, traps=[Inexact])


def exact(number: Decimal, most_places: int) -> Decimal | None:
    """A finite number of 0 or more without exponent, sign or trailing zeros, so that equal numbers
    are written alike; None if it has more decimal places."""
    try:
        shortest = number.copy_abs().normalize(EXACT)
    except Inexact:
        return None
    exponent = shortest.as_tuple().exponent
    assert isinstance(exponent, int), "a finite decimal has a whole exponent"
    if exponent < -most_places:
        return None
    return shortest.quantize(Decimal(1)) if exponent > 0 else shortest


def plain(number: Decimal) -> str:
    """The number without exponent or trailing zeros."""
    written = f"{number:f}"
    return written.rstrip("0").rstrip(".") if "." in written else written
