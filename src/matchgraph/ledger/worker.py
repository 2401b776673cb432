"""One of the processes that a long verification is split among: reads tasks, a line each, and
answers how far it has come and what it found. Started by verify.py."""

import asyncio
import sys

import msgspec

from matchgraph.eventstore.connection import LOST
from matchgraph.ledger.verify import Answer, Task, verify_task


def _say(answer: Answer) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    """Works until nobody gives it a task any more."""
    for line in sys.stdin.buffer:
        task = msgspec.json.decode(line, type=Task)
        try:
            found = asyncio.run(verify_task(task, lambda done, _: _say(Answer(done))))
        except LOST as reason:
            _say(Answer(0, lost=str(reason) or type(reason).__name__))
            return
        _say(Answer(found.events, found))


if __name__ == "__main__":
    main()
