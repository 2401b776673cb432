"""The same databases as the event store's tests have."""

from tests.eventstore.conftest import clones, template

__all__ = ["clones", "template"]
