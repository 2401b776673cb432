"""An audit that nobody answered is no audit, and only what can be mended stops anybody."""

from typing import Any

import pytest

from tests.audit import NOTHING_KNOWN, judged, told

FINE = {"name": "fine", "version": "1.0", "vulns": []}
MENDED = {
    "name": "old",
    "version": "1.0",
    "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1", "2.0"]}],
}
OPEN = {"name": "open", "version": "1.0", "vulns": [{"id": "PYSEC-2", "fix_versions": []}]}
UNKNOWN = {"name": "ours", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("packages", "words", "mend"),
    [
        ([FINE], ["1 packages audited"], False),
        ([FINE, MENDED], ["old 1.0: PYSEC-1, mended in 1.1, 2.0"], True),
        ([FINE, OPEN], ["open 1.0: PYSEC-2, which nobody has mended yet"], False),
        ([FINE, UNKNOWN], ["1 packages audited", f"{NOTHING_KNOWN} ours"], False),
        ([UNKNOWN, UNKNOWN], [f"{NOTHING_KNOWN} dev.txt"], False),
        ([], [f"{NOTHING_KNOWN} dev.txt"], False),
    ],
)
def test_only_a_hole_that_is_mended_elsewhere_stops(
    packages: list[Any], words: list[str], mend: bool
) -> None:
    lines, found = judged({"dependencies": packages})
    assert found is mend
    for word in words:
        assert word in "\n".join(lines)


def test_no_report_at_all_says_that_nothing_is_known() -> None:
    assert judged(None) == ([f"{NOTHING_KNOWN} dev.txt."], False)
    assert told(None) == told({"statusCode": 405}) == [f"{NOTHING_KNOWN} the clients of tests."]


def test_holes_of_the_clients_are_told() -> None:
    report = {"vulnerabilities": {"ws": {"severity": "high"}}}
    assert told(report) == ["The clients of tests: 1 packages with known holes.", "ws: high"]
