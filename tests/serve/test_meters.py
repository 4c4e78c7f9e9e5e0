"""Counts in the format that Prometheus reads."""

from __future__ import annotations

from everlearn.serve.meters import Meters


def test_requests_and_their_times_are_counted() -> None:
    meters = Meters()
    for seconds in (0.004, 0.03, 99.0):
        meters.took("/v1/models", 200, seconds)
    text = meters.text([("everlearn_waiting", "gauge", "Questions that wait.", [({}, 3.0)]), ("x", "gauge", "Odd.", [({"a": 'b"\\\n'}, 1.0)])])
    lines = text.splitlines()
    assert 'everlearn_requests_total{route="/v1/models",status="200"} 3' in lines
    assert 'everlearn_request_seconds_bucket{route="/v1/models",le="0.005"} 1' in lines
    assert 'everlearn_request_seconds_bucket{route="/v1/models",le="0.05"} 2' in lines
    assert 'everlearn_request_seconds_bucket{route="/v1/models",le="60.0"} 2' in lines
    assert 'everlearn_request_seconds_bucket{route="/v1/models",le="+Inf"} 3' in lines
    assert 'everlearn_request_seconds_count{route="/v1/models"} 3' in lines
    assert "everlearn_waiting 3" in lines
    assert r'x{a="b\"\\\n"} 1' in lines
    assert lines.index("# TYPE everlearn_request_seconds histogram") < lines.index('everlearn_request_seconds_count{route="/v1/models"} 3')


def test_a_counter_keeps_all_its_digits() -> None:
    lines = Meters().text([("everlearn_tokens_total", "counter", "Tokens.", [({}, 1_234_567.0)])]).splitlines()
    assert "everlearn_tokens_total 1234567" in lines
