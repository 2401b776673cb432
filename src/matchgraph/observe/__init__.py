"""What can be seen of a process at work: metrics, traces, logs.

It knows nothing of the rest, and everybody but the domain may tell it something. What is told per
request costs microseconds, and what nobody has asked for costs nothing.
"""

from matchgraph.observe.operation import observed_cost, observed_document, span, step

__all__ = ["observed_cost", "observed_document", "span", "step"]
