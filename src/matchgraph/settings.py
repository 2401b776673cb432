"""The environment, read once."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class BadSetting(Exception):
    """An environment variable does not say what it should."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the environment says. Without `database_url` or `redis_url`, servers of our own are
    started in `data`."""

    database_url: str | None
    redis_url: str | None
    data: Path
    host: str
    port: int
    development: bool


def read(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings. Raises: BadSetting."""
    port = environment.get("MATCHGRAPH_PORT", "8000")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise BadSetting(f"MATCHGRAPH_PORT is {port!r}; it must be a port number, 1 to 65535.")
    mode = environment.get("MATCHGRAPH_MODE", "development")
    if mode not in ("development", "production"):
        raise BadSetting(f"MATCHGRAPH_MODE is {mode!r}; it must be development or production.")
    return Settings(
        database_url=environment.get("DATABASE_URL") or None,
        redis_url=environment.get("REDIS_URL") or None,
        data=Path(environment.get("MATCHGRAPH_DATA", ".data")).absolute(),
        host=environment.get("MATCHGRAPH_HOST", "127.0.0.1"),
        port=int(port),
        development=mode == "development",
    )
