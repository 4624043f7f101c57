"""The ratios of releases, computed from the figures of the page and drawn."""

import math

import pytest
from bench import history

NAME = "Some CPU (family 1, model 2)"
MEASURED = {
    "memory forward": {
        f"{NAME}, avx2": {
            "source": "here",
            "rows": {"a (1)": "0.68 · 25.77 ONNX Runtime · 2.00 ONNX Runtime", "b": "1 · — · —",
                     "c (2)": "1,234 · 9.00 JAX, jit · 8.00 JAX, jit"},
        },
        "Another CPU, avx2": {"source": "there", "rows": {"a (1)": "1 · 2 · 3.00"}},
    },
    "memory step": {"Another CPU, avx2": {"source": "there", "rows": {"a (1)": "1 · 2 · 3.00"}}},
}  # fmt: skip


def test_ratios_are_those_of_one_machine() -> None:
    found = history.ratios(MEASURED, NAME)
    assert found == {"memory forward": {"source": "here", "ratios": {"a (1)": 2.0, "c (2)": 8.0}}}
    assert history.mean(found["memory forward"]["ratios"]) == pytest.approx(4)
    assert history.ratios(MEASURED, "No CPU") == {}


def test_releases_are_drawn_in_order() -> None:
    one = history.ratios(MEASURED, NAME)
    more = {"memory forward": {"source": "", "ratios": {"a (1)": 3.0}},
            "memory step": {"source": "", "ratios": {"a (1)": 5.0}}}  # fmt: skip
    axes = history.drawn({"0.10.0": more, "0.9.0": one}, NAME).axes[0]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.9.0", "0.10.0"]
    lines = {line.get_label(): list(line.get_ydata()) for line in axes.get_lines()}
    assert lines["memory forward"] == [pytest.approx(4), pytest.approx(3)]
    assert lines["memory step"] == [pytest.approx(5)]
    assert all(math.isfinite(y) for line in lines.values() for y in line)
