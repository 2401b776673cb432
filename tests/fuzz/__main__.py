"""`make fuzz`: rounds of random requests, for as many minutes as MINUTES says, or 10.

Each round says its seed; SEED does that one round again, which finds the same unless it needed what
earlier rounds had changed.
"""

import asyncio
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from matchgraph import migrate
from matchgraph.servers import running
from tests.fuzz import rounds
from tests.fuzz.judging import Wrong
from tests.fuzz.target import serving

ROUNDS = (
    (rounds.everything, 20),
    (rounds.by_the_grammar, 200),
    (rounds.over_websocket, 100),
    (rounds.over_event_streams, 100),
    (rounds.bytes_over_http, 300),
    (rounds.messages_over_websocket, 200),
)


def main() -> int:
    """Goes on until the time is over or something is wrong; returns the exit code."""
    minutes = float(os.environ.get("MINUTES", "10"))
    given = os.environ.get("SEED")
    until = time.monotonic() + minutes * 60
    with (
        tempfile.TemporaryDirectory(prefix="mg-", ignore_cleanup_errors=True) as folder,
        running(Path(folder) / "servers", durable=False) as servers,
    ):
        asyncio.run(migrate.apply(servers.database_url))
        with serving(servers.database_url, servers.redis_url, Path(folder) / "data") as target:
            while True:
                number = int(given) if given else random.randrange(2**32)
                print(f"SEED={number}", flush=True)
                try:
                    for send, count in ROUNDS:
                        send(target, count, number)
                        target.is_whole()
                except Wrong as reason:
                    print(f"SEED={number} found it: {reason}")
                    return 1
                if given or time.monotonic() > until:
                    break
            print(f"{len(target.judge.resolved)} fields were resolved; codes that were answered:")
            for code, times in target.judge.codes.most_common():
                print(f"  {code}: {times}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
