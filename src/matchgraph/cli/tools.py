"""What the program does the same way for each of its commands."""

from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NoReturn

from matchgraph.servers import Servers
from matchgraph.settings import Settings

# The actor of what an operator does by command line.
COMMAND_LINE = "command line"


@dataclass(frozen=True)
class Tools:
    """Reads settings, finds servers, runs, shows how far work is, and ends with a message."""

    settings: Callable[[], Settings]
    servers: Callable[[Settings], AbstractContextManager[Servers]]
    run: Callable[[Coroutine[Any, Any, Any]], Any]
    bar: Callable[[str], AbstractContextManager[Callable[[int, int], None]]]
    fail: Callable[..., NoReturn]
