"""What the environment says, and the secrets that sign."""

import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from matchgraph import settings
from matchgraph.settings import BadSetting, signing

LONG, LONGER = "a secret of sixteen", "another secret of more"


def test_secrets_are_given_newest_first() -> None:
    assert settings.read({"MATCHGRAPH_SECRET": f" {LONG},{LONGER}, "}).secrets == (LONG, LONGER)
    assert signing(settings.read({"MATCHGRAPH_SECRET": LONG})) == (LONG,)
    assert settings.read({}).secrets == settings.read({"MATCHGRAPH_SECRET": " "}).secrets == ()


def test_a_short_secret_is_none_and_is_not_repeated_in_the_complaint() -> None:
    with pytest.raises(BadSetting, match="16 characters") as refused:
        settings.read({"MATCHGRAPH_SECRET": f"{LONG},hunter2"})
    assert "hunter2" not in str(refused.value)


def test_production_needs_a_secret(tmp_path: Path) -> None:
    production = {"MATCHGRAPH_MODE": "production", "MATCHGRAPH_DATA": str(tmp_path)}
    with pytest.raises(BadSetting, match="MATCHGRAPH_SECRET is not set"):
        signing(settings.read(production))
    assert list(tmp_path.iterdir()) == []
    assert signing(settings.read({**production, "MATCHGRAPH_SECRET": LONG})) == (LONG,)


def test_without_one_a_secret_is_made_once_and_kept_for_its_owner_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    own = settings.read({"MATCHGRAPH_DATA": str(data)})
    with ThreadPoolExecutor(8) as threads:
        ((secret,),) = set(threads.map(lambda _: signing(own), range(50)))
    assert len(secret) >= 40
    assert signing(own) == (secret,)
    (kept,) = data.iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    other = replace(own, data=tmp_path / "elsewhere")
    assert signing(other) != (secret,)


def test_a_folder_that_cannot_hold_it_is_complained_of(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadSetting, match="none can be kept"):
        signing(settings.read({"MATCHGRAPH_DATA": str(tmp_path / "file")}))
