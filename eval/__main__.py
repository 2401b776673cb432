"""`python -m eval NAME …`: how good the answers are, measured.

python -m eval needs          search, on judged needs, against BM25 and vectors alone
python -m eval alignment      which capabilities of two artifacts are alike, on judged pairs
python -m eval simulation     what outcomes teach, with simulated clients
"""

import argparse
import importlib
from collections.abc import Sequence

NAMES = ("needs", "alignment", "simulation")


def main(words: Sequence[str] | None = None) -> None:
    """Runs what the command line names, with the arguments after it."""
    parser = argparse.ArgumentParser(prog="eval", description="Measures how good answers are.")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args(words)
    importlib.import_module(f"eval.{options.name}").run(options.arguments)


if __name__ == "__main__":
    main()
