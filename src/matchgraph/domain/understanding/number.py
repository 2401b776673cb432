"""Numbers as people write them: 1,000, 128k, half a million."""

import re
from decimal import Decimal

DIGITS = r"(?:\.?\d[\d.,]*)"
SMALL = {
    word: Decimal(value)
    for value, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
        ]
    )
} | {
    "a": Decimal(1),
    "an": Decimal(1),
    "half a": Decimal("0.5"),
    "fifteen": Decimal(15),
    "twenty": Decimal(20),
    "thirty": Decimal(30),
    "forty": Decimal(40),
    "fifty": Decimal(50),
    "sixty": Decimal(60),
    "hundred": Decimal(100),
    "a hundred": Decimal(100),
    "one hundred": Decimal(100),
    "two hundred": Decimal(200),
    "five hundred": Decimal(500),
}
SMALL_WORDS = "|".join(sorted(SMALL, key=len, reverse=True))
SCALES = {
    "k": 3,
    "thousand": 3,
    "m": 6,
    "mio": 6,
    "mn": 6,
    "million": 6,
    "millions": 6,
    "b": 9,
    "bn": 9,
    "billion": 9,
    "mtok": 6,
    "ktok": 3,
    "": 0,
}
SCALE = r"(?:k|thousand|mio|mn|millions?|m|bn|billion)"
NUMBER = rf"(?:(?:{DIGITS}|{SMALL_WORDS})(?:[ -]?{SCALE})?)(?![a-z\d])"
NUMBER_PARTS = re.compile(rf"({DIGITS}|{SMALL_WORDS})?[ -]?({SCALE})?")


def number_of(written: str | None) -> Decimal | None:
    """The number, or None for what is none or longer than anything that is counted here."""
    found = NUMBER_PARTS.fullmatch((written or "").strip())
    if not found or not found.group():
        return None
    digits, scale = found.group(1) or "one", found.group(2) or ""
    amount = SMALL.get(digits)
    if amount is None:
        digits = digits.rstrip(".,")
        if re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", digits):
            digits = digits.replace(",", "")
        elif re.fullmatch(r"\d{1,3}(?:\.\d{3}){2,}", digits):
            digits = digits.replace(".", "")
        elif re.fullmatch(r"\d+,\d{1,2}", digits):
            digits = digits.replace(",", ".")
        if not re.fullmatch(r"\d{0,15}(?:\.\d{1,12})?", digits) or not digits.strip("."):
            return None
        amount = Decimal(digits)
    return amount.scaleb(SCALES[scale])
