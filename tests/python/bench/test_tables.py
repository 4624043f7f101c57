"""The tables, the page and the figures that are made from a result file."""

from pathlib import Path
from typing import Any

import pytest
from bench import plot, report, tables
from bench.contestants import HALF, MEMATTN, PEAK, Contestant

PUBLISHED = Contestant("openvino", "graph", "published")
FOLDED = Contestant("jax", "jit", "folded")


def group(name: str, task: str) -> dict[str, Any]:
    contestants = [
        {"key": one.key, "peer": one.peer, "mode": one.mode, "form": one.form, "error": None}
        for one in (PEAK, MEMATTN, PUBLISHED, FOLDED)
    ]
    contestants[0]["flops_per_call"] = 1_000_000
    rounds = [
        {PEAK.key: 10_000.0, MEMATTN.key: 40_000.0, PUBLISHED.key: 160_000.0, FOLDED.key: 60_000.0},
        {
            PEAK.key: 20_000.0,
            MEMATTN.key: 80_000.0,
            PUBLISHED.key: 320_000.0,
            FOLDED.key: 120_000.0,
        },
        {PEAK.key: 10_000.0, MEMATTN.key: 40_000.0, PUBLISHED.key: 200_000.0, FOLDED.key: 60_000.0},
    ]
    shape = {"B": 32, "T": 10, "U": 64, "S": 20, "H": 4}
    return {
        **{"name": name, "task": task, "shape": shape, "flops": 2_000_000},
        **{"contestants": contestants, "rounds_ns": rounds},
    }


@pytest.fixture
def result() -> dict[str, Any]:
    return {
        "format": 1,
        "measured": "2026-01-02T03:04:05Z",
        "command": "scripts/bench --quick",
        "commit": "abc",
        "forced_isa": "",
        "core": 1,
        "machine": dict.fromkeys(
            ("processor", "family", "vectors", "cores", "memory", "kernel", "governor"), "some"
        )
        | {"virtual": True},
        "versions": {"memattn": {"memattn": "1.0", "measured": "avx2"}},
        "missing": {"torch": "no file for this machine"},
        "groups": [group("docs", "forward"), group("docs", "step")],
    }


def test_the_summary_has_times_and_ratios(result: dict[str, Any]) -> None:
    row = tables.summary(result, "forward").splitlines()[2]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:3] == ["docs (32, 10, 64, 20, 4)", "40.0", "0.50"]
    assert cells[3:5] == ["OpenVINO 200", "4.00 (4.00 to 4.50)"]
    assert cells[5:] == ["JAX, jit 60.0", "1.50 (1.50 to 1.50)"]


def test_the_summary_without_peers_has_dashes(result: dict[str, Any]) -> None:
    for one in result["groups"][0]["rounds_ns"]:
        del one[PUBLISHED.key], one[FOLDED.key]
    assert tables.summary(result, "forward").splitlines()[2].count("—") == 4


def test_a_missing_peer_has_a_row_and_a_reason(result: dict[str, Any]) -> None:
    assert tables.everybody(result, "forward").count("missing") == 2
    assert tables.troubles(result) == ["PyTorch is missing: no file for this machine"]


def test_a_failed_contestant_has_a_row_and_a_reason(result: dict[str, Any]) -> None:
    result["groups"][1]["contestants"][3]["error"] = "wrong result"
    for one in result["groups"][1]["rounds_ns"]:
        del one[FOLDED.key]
    assert "failed" in tables.everybody(result, "step")
    assert tables.troubles(result)[1] == (
        "JAX, jit, folded by hand, failed at docs, training step: wrong result"
    )


def test_the_peak_is_the_median_of_all_rounds(result: dict[str, Any]) -> None:
    assert "100 GFLOP/s (" in tables.peak_line(result)


def test_microseconds_have_three_digits() -> None:
    assert [tables.microseconds(ns) for ns in (183, 56_700, 356_000, 79_400_000)] == [
        *("0.18", "56.7", "356", "79,400")
    ]


def pair_result(result: dict[str, Any]) -> dict[str, Any]:
    groups = []
    for one in result["groups"]:
        axes = {"B": 8, "T1": 1, "T2": 96, "F1": 4, "F2": 5, "U": 6, "H": 2}
        group = {**one, "name": "cross1", "layer": "cross", "shape": axes}
        del group["flops"]
        groups.append(group)
    return {**result, "groups": groups}


def test_layers_of_two_inputs_have_tables_of_their_own(result: dict[str, Any]) -> None:
    both = {**result, "groups": [*result["groups"], *pair_result(result)["groups"]]}
    assert tables.summary(both, "forward") == tables.summary(result, "forward")
    row = tables.summary(both, "forward", tables.PAIRS).splitlines()[2]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:3] == ["cross1 (8, 1, 96, 4, 5, 6, 2)", "40.0", "OpenVINO 200"]
    assert tables.everything(both).count("of layers of two inputs") == 2


def test_the_page_has_a_column_for_each_processor(result: dict[str, Any]) -> None:
    first = report.with_result({}, result)
    assert set(first) == {"memory forward", "memory step"}
    other = {**result, "commit": "def", "machine": {**result["machine"], "processor": "other"}}
    both = report.with_result(report.with_result(first, other), pair_result(result))
    text = report.page(both)
    assert " some (some), avx2 |" in text
    assert " other (some), avx2 |" in text
    assert "`scripts/bench --quick`, 2026-01-02, commit `def`" in text
    assert text.count("40.0 · 4.00 OpenVINO · 1.50 JAX, jit") == 6
    assert text.index("## Forward") < text.index("## Training step") < text.index("cross1 (8,")
    # A new result of a machine replaces its old one, table by table.
    again = report.with_result(both, {**result, "commit": "new", "groups": result["groups"][:1]})
    assert report.page(again).count("commit `new`") == 1
    assert report.page(again).count("commit `abc`") == 3


def half(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result with memattn in bfloat16, and a peer in its default precision."""
    chosen = Contestant("openvino", "default", "folded", ("forward",), "default")
    group = result["groups"][0]
    group["contestants"] += [
        {**{"key": one.key, "peer": one.peer, "mode": one.mode, "form": one.form, "error": None}}
        | {"precision": one.precision}
        for one in (HALF, chosen)
    ]
    for one in group["rounds_ns"]:
        one[HALF.key] = one[MEMATTN.key] / 2
        one[chosen.key] = one[MEMATTN.key] * 0.75
    return result


def test_bfloat16_has_a_table_and_a_tolerance_of_its_own(result: dict[str, Any]) -> None:
    plain = tables.summary(result, "forward")
    with_half = half(result)
    assert tables.summary(with_half, "forward") == plain  # has float32 only
    row = tables.half_summary(with_half).splitlines()[2]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:4] == ["40.0", "20.0", "2.00 (2.00 to 2.00)"]
    assert cells[4:] == ["—", "—", "30.0", "1.50 (1.50 to 1.50)"]
    rows = tables.everybody(with_half, "forward").splitlines()[2:]
    assert ["2e-2" in row for row in rows if "bfloat16" in row or "default" in row] == [True, True]
    assert "1e-4" in rows[0]
    assert tables.everything(with_half).count("in bfloat16") == 1
    text = report.page(report.with_result({}, with_half))
    assert "20.0 · 2.00 · — · 1.50" in text


def test_two_figures_are_written(result: dict[str, Any], tmp_path: Path) -> None:
    written = plot.write(result, tmp_path / "stem")
    assert sorted(path.name for path in written) == ["stem-peak.png", "stem-speed.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)
