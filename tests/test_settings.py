"""What the environment says, and the secrets that sign."""

import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from matchgraph import settings
from matchgraph.http.budget import PRODUCTION, Allowance
from matchgraph.ledger.head import new_key
from matchgraph.settings import BadSetting, ledger_signing, sealing, signing

LONG, LONGER = "a secret of sixteen", "another secret of more"


def test_secrets_are_given_newest_first() -> None:
    assert settings.read({"MATCHGRAPH_SECRET": f" {LONG},{LONGER}, "}).secrets == (LONG, LONGER)
    assert signing(settings.read({"MATCHGRAPH_SECRET": LONG})) == (LONG,)
    assert settings.read({}).secrets == settings.read({"MATCHGRAPH_SECRET": " "}).secrets == ()


def test_a_short_secret_is_none_and_is_not_repeated_in_the_complaint() -> None:
    with pytest.raises(BadSetting, match="16 characters") as refused:
        settings.read({"MATCHGRAPH_SECRET": f"{LONG},hunter2"})
    assert "hunter2" not in str(refused.value)


def test_search_keys_are_longer_and_given_and_kept_the_same_way(tmp_path: Path) -> None:
    keys = (LONG * 2, LONGER * 2)
    said = {"MATCHGRAPH_SEARCH_KEYS": ",".join(keys)}
    assert sealing(settings.read(said)) == settings.read(said).search_keys == keys
    with pytest.raises(BadSetting, match="less than 32 characters") as refused:
        settings.read({"MATCHGRAPH_SEARCH_KEYS": f"{keys[0]},{LONG}"})
    assert LONG not in str(refused.value)
    own = settings.read({"MATCHGRAPH_DATA": str(tmp_path / "data")})
    assert sealing(own) == sealing(own) != signing(own)
    assert {one.name for one in (tmp_path / "data").iterdir()} == {"search_key", "secret"}
    production = {"MATCHGRAPH_MODE": "production", "MATCHGRAPH_DATA": str(tmp_path)}
    with pytest.raises(BadSetting, match="MATCHGRAPH_SEARCH_KEYS is not set"):
        sealing(settings.read(production))


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


def test_keys_that_sign_heads_are_given_newest_first_as_text_or_as_files(tmp_path: Path) -> None:
    one, other = new_key(), new_key()
    (tmp_path / "key").write_text(f"{other}\n")
    given = settings.read({"MATCHGRAPH_LEDGER_KEY": f"{one}, {tmp_path / 'key'}"})
    assert one not in repr(given)
    ids = [signer.id for signer in ledger_signing(given)]
    both = settings.read({"MATCHGRAPH_LEDGER_KEY": f"{one},{other}"})
    assert ids == [signer.id for signer in ledger_signing(both)]
    assert len(set(ids)) == 2


def test_a_key_as_openssl_writes_it_is_one(tmp_path: Path) -> None:
    # The private key of RFC 8032, 7.1, test 1.
    (tmp_path / "key.pem").write_text(
        "-----BEGIN PRIVATE KEY-----\n"
        "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
        "-----END PRIVATE KEY-----\n"
    )
    (signer,) = ledger_signing(settings.read({"MATCHGRAPH_LEDGER_KEY": str(tmp_path / "key.pem")}))
    public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert signer.public_key.hex() == public


@pytest.mark.parametrize("wrong", ["hunter2", "hunter2" * 6 + "=", "./nothing", "."])
def test_what_is_no_key_is_complained_of_and_not_repeated(wrong: str) -> None:
    with pytest.raises(BadSetting, match="MATCHGRAPH_LEDGER_KEY") as refused:
        ledger_signing(settings.read({"MATCHGRAPH_LEDGER_KEY": f"{new_key()},{wrong}"}))
    assert "hunter2" not in str(refused.value)


def test_production_needs_a_key_and_a_laptop_keeps_one(tmp_path: Path) -> None:
    data = {"MATCHGRAPH_DATA": str(tmp_path / "data")}
    with pytest.raises(BadSetting, match="MATCHGRAPH_LEDGER_KEY is not set"):
        ledger_signing(settings.read({**data, "MATCHGRAPH_MODE": "production"}))
    assert not (tmp_path / "data").exists()
    own = settings.read(data)
    with ThreadPoolExecutor(8) as threads:
        (key,) = {one.id for (one,) in threads.map(lambda _: ledger_signing(own), range(50))}
    (kept,) = (tmp_path / "data").iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert [one.id for one in ledger_signing(own)] == [key]


def test_origins_are_closed_in_production_and_this_machines_in_development() -> None:
    production = {"MATCHGRAPH_MODE": "production"}
    assert settings.read({}).origins == ("local",)
    assert settings.read(production).origins == ()
    assert settings.read({**production, "MATCHGRAPH_ORIGINS": ""}).origins == ()
    said = {"MATCHGRAPH_ORIGINS": " https://App.example:443, http://b.example:8080,"}
    assert settings.read(said).origins == ("http://b.example:8080", "https://app.example")
    assert settings.read({"MATCHGRAPH_ORIGINS": "*"}).origins == ("*",)


@pytest.mark.parametrize("said", ["app.example", "https://app.example/page", "null", "https://["])
def test_what_is_no_origin_is_complained_of(said: str) -> None:
    with pytest.raises(BadSetting, match="MATCHGRAPH_ORIGINS"):
        settings.read({"MATCHGRAPH_ORIGINS": said})


JWT = {
    "MATCHGRAPH_JWT_ISSUER": "https://id.example",
    "MATCHGRAPH_JWT_AUDIENCE": "matchgraph",
    "MATCHGRAPH_JWT_JWKS": "https://id.example/keys",
}


def test_tokens_are_taken_when_all_is_said_of_them() -> None:
    assert settings.read({}).tokens is None
    tokens = settings.read(JWT).tokens
    assert tokens is not None
    assert (tokens.issuer, tokens.audience, tokens.jwks, tokens.role_claim) == (
        *("https://id.example", "matchgraph", "https://id.example/keys"),
        "role",
    )
    other = settings.read({**JWT, "MATCHGRAPH_JWT_ROLE_CLAIM": "access.roles"}).tokens
    assert other is not None
    assert other.role_claim == "access.roles"


@pytest.mark.parametrize("missing", JWT)
def test_half_of_what_tokens_need_is_complained_of(missing: str) -> None:
    with pytest.raises(BadSetting, match=missing):
        settings.read({name: said for name, said in JWT.items() if name != missing})


def test_the_keys_of_tokens_are_at_an_address_or_in_a_file() -> None:
    for said in ("ftp://id.example/keys", "file:///keys"):
        with pytest.raises(BadSetting, match="MATCHGRAPH_JWT_JWKS"):
            settings.read({**JWT, "MATCHGRAPH_JWT_JWKS": said})
    assert settings.read({**JWT, "MATCHGRAPH_JWT_JWKS": "/run/keys.json"}).tokens


def test_a_token_for_the_metrics_is_long_enough_and_not_repeated() -> None:
    assert settings.read({}).metrics_token is None
    assert settings.read({"MATCHGRAPH_METRICS_TOKEN": LONG}).metrics_token == LONG
    assert LONG not in repr(settings.read({"MATCHGRAPH_METRICS_TOKEN": LONG}))
    with pytest.raises(BadSetting, match="MATCHGRAPH_METRICS_TOKEN") as refused:
        settings.read({"MATCHGRAPH_METRICS_TOKEN": "hunter2"})
    assert "hunter2" not in str(refused.value)


def test_manifests_of_trusted_documents_are_files_with_commas_between_them() -> None:
    said = {"MATCHGRAPH_TRUSTED_DOCUMENTS": "web.json, /etc/mobile.json"}
    assert settings.read(said).trusted_documents == (Path("web.json"), Path("/etc/mobile.json"))
    assert settings.read({}).trusted_documents == ()


def test_nobody_counts_in_development_and_everybody_does_in_production() -> None:
    assert settings.read({}).allowance == Allowance()
    assert settings.read({"MATCHGRAPH_MODE": "production"}).allowance == PRODUCTION
    own = settings.read(
        {
            "MATCHGRAPH_MODE": "production",
            "MATCHGRAPH_POINTS_PER_KEY": "70",
            "MATCHGRAPH_SOCKETS_PER_ADDRESS": "off",
        }
    ).allowance
    assert own == replace(PRODUCTION, points_per_key=70, sockets_per_address=None)


@pytest.mark.parametrize("said", ["-1", "0", "many", "1.5", "1" * 10])
def test_points_and_sockets_are_numbers(said: str) -> None:
    with pytest.raises(BadSetting, match="MATCHGRAPH_POINTS_PER_ADDRESS is"):
        settings.read({"MATCHGRAPH_POINTS_PER_ADDRESS": said})


def test_proxies_are_addresses_and_networks() -> None:
    read = settings.read({"MATCHGRAPH_PROXIES": "10.0.0.7, 10.1.0.0/16,2001:db8::/32"})
    assert read.proxies == ("10.0.0.7", "10.1.0.0/16", "2001:db8::/32")
    assert settings.read({}).proxies == ()
    for said in ("*", "proxy.example", "10.0.0.1/8"):
        with pytest.raises(BadSetting, match="MATCHGRAPH_PROXIES is"):
            settings.read({"MATCHGRAPH_PROXIES": said})


def test_a_subgraph_is_one_only_if_that_is_said() -> None:
    assert settings.read({"MATCHGRAPH_FEDERATION": "on"}).federation
    assert not settings.read({"MATCHGRAPH_FEDERATION": "off"}).federation
    assert not settings.read({}).federation
    with pytest.raises(BadSetting, match="on or off"):
        settings.read({"MATCHGRAPH_FEDERATION": "yes"})


def test_logs_are_for_programs_in_production_and_for_people_in_development() -> None:
    assert not settings.read({}).json_logs
    assert settings.read({"MATCHGRAPH_MODE": "production"}).json_logs
    assert settings.read({"MATCHGRAPH_LOG": "json"}).json_logs
    text = {"MATCHGRAPH_MODE": "production", "MATCHGRAPH_LOG": "text"}
    assert not settings.read(text).json_logs
    assert settings.read({"MATCHGRAPH_LOG": ""}).access_log
    assert not settings.read({"MATCHGRAPH_ACCESS_LOG": "off"}).access_log


def test_what_is_slow_is_said_in_milliseconds() -> None:
    assert settings.read({}).slow == 0.5
    assert settings.read({"MATCHGRAPH_SLOW_MS": "1200"}).slow == 1.2
    assert settings.read({"MATCHGRAPH_SLOW_MS": "0"}).slow == 0
    assert settings.read({"MATCHGRAPH_SLOW_MS": "off"}).slow is None


def test_how_much_of_answers_is_kept_is_said_in_megabytes() -> None:
    assert settings.read({}).kept_answers == 64_000_000
    assert settings.read({"MATCHGRAPH_KEPT_ANSWERS_MB": "5"}).kept_answers == 5_000_000
    assert settings.read({"MATCHGRAPH_KEPT_ANSWERS_MB": "0"}).kept_answers == 0
    assert settings.read({"MATCHGRAPH_KEPT_ANSWERS_MB": "off"}).kept_answers == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MATCHGRAPH_LOG", "xml"),
        ("MATCHGRAPH_ACCESS_LOG", "yes"),
        ("MATCHGRAPH_SLOW_MS", "-1"),
        ("MATCHGRAPH_SLOW_MS", "0.5"),
        ("MATCHGRAPH_SLOW_MS", "9" * 10),
        ("MATCHGRAPH_SLOW_MS", "\u0663"),
        ("MATCHGRAPH_KEPT_ANSWERS_MB", "-1"),
        ("MATCHGRAPH_KEPT_ANSWERS_MB", "1 GB"),
    ],
)
def test_a_setting_that_is_none_is_named(name: str, value: str) -> None:
    with pytest.raises(BadSetting, match=f"{name} is .* it must be"):
        settings.read({name: value})
