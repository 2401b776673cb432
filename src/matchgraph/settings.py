"""The environment, read once."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from ipaddress import ip_address, ip_network
from pathlib import Path
from secrets import token_urlsafe

from strawberry.http.websocket_origin import normalize_allowed_origins

from matchgraph import embedding
from matchgraph.http.answers import MOST_KEPT
from matchgraph.http.budget import PRODUCTION, Allowance
from matchgraph.http.origins import LOCAL
from matchgraph.http.tokens import TokenSettings
from matchgraph.ledger.head import BadKey, Signer, new_key, signers

ON, OFF = "on", "off"
MEGABYTE = 1_000_000
SECRET = "MATCHGRAPH_SECRET"  # noqa: S105 (the name of one)
LEDGER_KEY = "MATCHGRAPH_LEDGER_KEY"
METRICS = "MATCHGRAPH_METRICS_TOKEN"
TOKENS = ("MATCHGRAPH_JWT_ISSUER", "MATCHGRAPH_JWT_AUDIENCE", "MATCHGRAPH_JWT_JWKS")
SEARCH_KEYS = "MATCHGRAPH_SEARCH_KEYS"
TRUSTED = "MATCHGRAPH_TRUSTED_DOCUMENTS"
# Units: characters.
LEAST_SECRET, LEAST_SEARCH_KEY = 16, 32


class BadSetting(Exception):
    """An environment variable does not say what it should."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the environment says. Without `database_url` or `redis_url`, servers of our own are
    started in `data`. `embedding` names the model that tells what texts mean; without one, search
    goes by words alone. `secrets` sign what clients bring back, `search_keys` are what keys of
    searchers are wrapped with, and `ledger_keys` sign heads of the log, each the newest first; see
    `signing`, `sealing` and `ledger_signing`. Pages of `origins` may ask, `tokens` says whose are
    taken beside keys, and `metrics_token` opens the metrics. `allowance` is what each may have, and
    the word of `proxies` is taken for where a request comes from. With manifests of
    `trusted_documents`, no other operations run; with `federation`, the schema is a subgraph.
    Logs are `json_logs` or text, with a line for each operation if `access_log`; those that take
    `slow` or longer are told of.

    Units: `slow` in seconds, `kept_answers` in bytes.
    """

    database_url: str | None
    redis_url: str | None
    data: Path
    host: str
    port: int
    development: bool
    embedding: str | None
    secrets: tuple[str, ...] = field(repr=False)
    ledger_keys: tuple[str, ...] = field(repr=False)
    origins: tuple[str, ...]
    tokens: TokenSettings | None
    metrics_token: str | None = field(repr=False)
    allowance: Allowance
    proxies: tuple[str, ...]
    search_keys: tuple[str, ...] = field(repr=False)
    trusted_documents: tuple[Path, ...]
    federation: bool
    json_logs: bool
    access_log: bool
    slow: float | None
    kept_answers: int


def read(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings. Raises: BadSetting."""
    port = environment.get("MATCHGRAPH_PORT", "8000")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise BadSetting(f"MATCHGRAPH_PORT is {port!r}; it must be a port number, 1 to 65535.")
    mode = environment.get("MATCHGRAPH_MODE", "development")
    if mode not in ("development", "production"):
        raise BadSetting(f"MATCHGRAPH_MODE is {mode!r}; it must be development or production.")
    model = environment.get("MATCHGRAPH_EMBEDDING", embedding.DEFAULT)
    if model not in (*embedding.NAMES, OFF):
        raise BadSetting(
            f"MATCHGRAPH_EMBEDDING is {model!r}; it must be {', '.join(embedding.NAMES)} or {OFF}."
        )
    federation = environment.get("MATCHGRAPH_FEDERATION", OFF)
    if federation not in (ON, OFF):
        raise BadSetting(f"MATCHGRAPH_FEDERATION is {federation!r}; it must be {ON} or {OFF}.")
    return Settings(
        database_url=environment.get("DATABASE_URL") or None,
        redis_url=environment.get("REDIS_URL") or None,
        data=Path(environment.get("MATCHGRAPH_DATA", ".data")).absolute(),
        host=environment.get("MATCHGRAPH_HOST", "127.0.0.1"),
        port=int(port),
        development=mode == "development",
        secrets=_listed(environment, SECRET, LEAST_SECRET),
        ledger_keys=_listed(environment, LEDGER_KEY),
        search_keys=_listed(environment, SEARCH_KEYS, LEAST_SEARCH_KEY),
        embedding=None if model == OFF else model,
        origins=_origins(environment, development=mode == "development"),
        tokens=_tokens(environment),
        metrics_token=_metrics_token(environment),
        trusted_documents=tuple(map(Path, _listed(environment, TRUSTED))),
        allowance=_allowance(environment, PRODUCTION if mode == "production" else Allowance()),
        proxies=_proxies(environment),
        federation=federation == ON,
        json_logs=_one_of(
            environment, "MATCHGRAPH_LOG", "text" if mode == "development" else "json", "json"
        ),
        access_log=_one_of(environment, "MATCHGRAPH_ACCESS_LOG", "on", "on"),
        slow=_slow(environment),
        kept_answers=_kept_answers(environment),
    )


def _allowance(environment: Mapping[str, str], otherwise: Allowance) -> Allowance:
    """What is set, else what goes with the mode: in development nobody counts, as whoever tries
    things out is alone and asks for a lot. Raises: BadSetting."""
    found: dict[str, int | None] = {}
    for one in fields(Allowance):
        name = f"MATCHGRAPH_{one.name.upper()}"
        said = environment.get(name)
        if said and said != OFF and not (said.isdecimal() and 0 < int(said) < 10**9):
            raise BadSetting(f"{name} is {said!r}; it must be a number from 1 on, or {OFF}.")
        found[one.name] = getattr(otherwise, one.name) if not said else None
        if said and said != OFF:
            found[one.name] = int(said)
    return Allowance(**found)


def _proxies(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Addresses and networks. Raises: BadSetting."""
    said = environment.get("MATCHGRAPH_PROXIES", "")
    named = tuple(filter(None, map(str.strip, said.split(","))))
    try:
        return tuple(str(ip_network(one)) if "/" in one else str(ip_address(one)) for one in named)
    except ValueError:
        raise BadSetting(
            f"MATCHGRAPH_PROXIES is {said!r}; it must be addresses such as 10.0.0.7 or networks "
            "such as 10.0.0.0/8, with commas between them."
        ) from None


CHOICES = {"MATCHGRAPH_LOG": ("json", "text"), "MATCHGRAPH_ACCESS_LOG": ("on", OFF)}


def _one_of(environment: Mapping[str, str], name: str, default: str, meant: str) -> bool:
    """Whether what is said is what is meant. Raises: BadSetting."""
    said = environment.get(name) or default
    if said not in CHOICES[name]:
        raise BadSetting(f"{name} is {said!r}; it must be {' or '.join(CHOICES[name])}.")
    return said == meant


def _slow(environment: Mapping[str, str]) -> float | None:
    """Raises: BadSetting."""
    found = _whole(environment, "MATCHGRAPH_SLOW_MS", 500, "milliseconds")
    return None if found is None else found / 1000


def _kept_answers(environment: Mapping[str, str]) -> int:
    """Raises: BadSetting."""
    name = "MATCHGRAPH_KEPT_ANSWERS_MB"
    return MEGABYTE * (_whole(environment, name, MOST_KEPT // MEGABYTE, "megabytes") or 0)


def _whole(environment: Mapping[str, str], name: str, default: int, unit: str) -> int | None:
    """A number of these, None: off. Raises: BadSetting."""
    said = environment.get(name) or str(default)
    if said == OFF:
        return None
    if not said.isdecimal() or not said.isascii() or len(said) > 9:
        raise BadSetting(f"{name} is {said!r}; it must be a whole number of {unit}, or {OFF}.")
    return int(said)


def _origins(environment: Mapping[str, str], *, development: bool) -> tuple[str, ...]:
    """The origins that are named, else those of this machine in development and none in
    production. Raises: BadSetting."""
    said = environment.get("MATCHGRAPH_ORIGINS")
    if not said:
        return (LOCAL,) if development else ()
    named = list(filter(None, map(str.strip, said.split(","))))
    try:
        return tuple(sorted(normalize_allowed_origins(named)))
    except ValueError:
        raise BadSetting(
            f"MATCHGRAPH_ORIGINS is {said!r}; it must be origins such as https://example.org, "
            "without a path and with commas between them, or * for any."
        ) from None


def _tokens(environment: Mapping[str, str]) -> TokenSettings | None:
    """Whose tokens are taken; None: nobody's. Raises: BadSetting."""
    said = [environment.get(name, "") for name in TOKENS]
    if not any(said):
        return None
    if missing := [name for name, value in zip(TOKENS, said, strict=True) if not value]:
        raise BadSetting(f"{' and '.join(missing)} must be set too, for tokens to be taken.")
    issuer, audience, jwks = said
    if "://" in jwks and not jwks.startswith(("https://", "http://")):
        raise BadSetting(
            f"MATCHGRAPH_JWT_JWKS is {jwks!r}; it must be an address that begins with https://, or "
            "a file."
        )
    claim = environment.get("MATCHGRAPH_JWT_ROLE_CLAIM") or "role"
    return TokenSettings(issuer=issuer, audience=audience, jwks=jwks, role_claim=claim)


def _metrics_token(environment: Mapping[str, str]) -> str | None:
    token = environment.get(METRICS) or None
    if token is not None and (len(token) < LEAST_SECRET or not token.isascii()):
        raise BadSetting(f"{METRICS} must be {LEAST_SECRET} ASCII characters or more.")
    return token


def signing(settings: Settings) -> tuple[str, ...]:
    """The secrets that sign, newest first: those that are set, else one made here once and kept in
    the data folder, so that what was signed holds when the program starts again.

    Raises: BadSetting when none is set in production, where several processes must agree on it, or
        none can be kept.
    """
    return settings.secrets or _made(settings, SECRET, "secret", LEAST_SECRET)


def sealing(settings: Settings) -> tuple[str, ...]:
    """The keys that keys of searchers are wrapped with, newest first, likewise. Raises: BadSetting
    as `signing` does."""
    return settings.search_keys or _made(settings, SEARCH_KEYS, "search_key", LEAST_SEARCH_KEY)


def _listed(environment: Mapping[str, str], name: str, least: int = 0) -> tuple[str, ...]:
    secrets = tuple(filter(None, map(str.strip, environment.get(name, "").split(","))))
    if any(len(secret) < least for secret in secrets):
        raise BadSetting(f"{name} holds a secret of less than {least} characters.")
    return secrets


def _made(settings: Settings, name: str, file: str, least: int) -> tuple[str, ...]:
    if not settings.development:
        raise BadSetting(
            f"{name} is not set, and production needs it: {least} random characters or more, the"
            " same for every process; to replace it, put the new one in front, with a comma."
        )
    return (_kept(settings, name, file, lambda: token_urlsafe(32)),)


def ledger_signing(settings: Settings) -> tuple[Signer, ...]:
    """The keys that sign heads of the log, newest first: those that are set, else one made here
    once and kept in the data folder.

    Raises: BadSetting when one is no key, when none is set in production, or none can be kept.
    """
    keys = settings.ledger_keys
    if not keys and not settings.development:
        raise BadSetting(
            f"{LEDGER_KEY} is not set, and production needs it: a private key of Ed25519, 32 bytes"
            " in base64 or the name of a file with them or with PEM; `matchgraph ledger new-key`"
            " makes one. To replace it, put the new one in front, with a comma."
        )
    try:
        return signers(keys or (_kept(settings, LEDGER_KEY, "ledger-key", new_key),))
    except BadKey as reason:
        raise BadSetting(f"{LEDGER_KEY}: {reason}") from None


def _kept(settings: Settings, variable: str, name: str, make: Callable[[], str]) -> str:
    """What the data folder has under that name, made once, whoever comes first. Raises:
    BadSetting."""
    kept = settings.data / name
    try:
        if not kept.exists():
            settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Written whole under another name, so that nobody reads half of it.
            made = settings.data / f"{name}.{token_urlsafe(8)}"
            made.touch(mode=0o600)
            made.write_text(make())
            with suppress(FileExistsError):
                os.link(made, kept)
            made.unlink()
        return kept.read_text().strip()
    except OSError as reason:
        raise BadSetting(f"{variable} is not set, and none can be kept: {reason}.") from reason
