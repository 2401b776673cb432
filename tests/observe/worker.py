"""A server on a port, in a process of its own; run as a program by test_metrics.py."""

import sys

from matchgraph.http.app import app
from matchgraph.http.server import Server, configured


def main(database_url: str, redis_url: str, port: str) -> None:
    served = app(database_url, redis_url, project=False)
    Server(configured(served, "127.0.0.1", int(port))).run()


if __name__ == "__main__":
    main(*sys.argv[1:])
