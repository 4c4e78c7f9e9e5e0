"""What a server counts, as Prometheus reads it."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)  # seconds
Sample = tuple[str, Mapping[str, str], float]


class Meters:
    """Requests by route and status, and how long they took; text in Prometheus' exposition format 0.0.4."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.requests: Counter[tuple[str, str]] = Counter()
        self._times: dict[str, list[int]] = {}
        self._seconds: Counter[str] = Counter()

    def took(self, route: str, status: int, seconds: float) -> None:
        """Count a request. route: its pattern, never a path that a client made up."""
        with self._lock:
            self.requests[route, str(status)] += 1
            self._times.setdefault(route, [0] * (len(BOUNDS) + 1))[bisect_left(BOUNDS, seconds)] += 1
            self._seconds[route] += seconds  # type: ignore[assignment]

    def text(self, gauges: Iterable[tuple[str, str, str, Iterable[tuple[Mapping[str, str], float]]]] = ()) -> str:
        """Everything counted, then what is given: name, kind, what it means, labels with values."""
        with self._lock:
            requests = [({"route": route, "status": status}, float(count)) for (route, status), count in sorted(self.requests.items())]
            buckets: list[Sample] = []
            for route, counts in sorted(self._times.items()):
                total = 0
                for bound, count in zip((*map(str, BOUNDS), "+Inf"), counts, strict=True):
                    total += count
                    buckets.append(("_bucket", {"route": route, "le": bound}, total))
                buckets += [("_sum", {"route": route}, float(self._seconds[route])), ("_count", {"route": route}, total)]
        lines = _family("everlearn_requests_total", "counter", "Requests answered.", [("", labels, value) for labels, value in requests])
        lines += _family("everlearn_request_seconds", "histogram", "Seconds to the end of the answer.", buckets)
        for name, kind, about, samples in gauges:
            lines += _family(name, kind, about, [("", labels, value) for labels, value in samples])
        return "\n".join(lines) + "\n"


def _family(name: str, kind: str, about: str, samples: Iterable[Sample]) -> list[str]:
    lines = [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]
    for suffix, labels, value in samples:
        inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        lines.append(f"{name}{suffix}{{{inner}}} {_number(value)}" if inner else f"{name}{suffix} {_number(value)}")
    return lines


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    """All of its digits: counters grow beyond six."""
    return str(int(value)) if value == int(value) else repr(float(value))
