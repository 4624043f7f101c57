"""The phase of the season at which a window begins, named by the calendar if rows have times."""

from __future__ import annotations

from dataclasses import dataclass

from memattn.forecast.data.frequency import positions_of
from memattn.forecast.data.panel import Panel
from memattn.forecast.data.time_axis import Unit
from memattn.forecast.data.time_zones import DAY, Ticks, clock_of
from memattn.forecast.data.windows import Windows

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
THURSDAY = 3  # the weekday of 1970-01-01, day 0
MINUTE = 60_000_000
HOUR = 60 * MINUTE


@dataclass(frozen=True, eq=False)
class Phases:
    """The phases of a season, and the phases of W windows."""

    phase: Ticks  # (W,), the phase of the first row after each window, from 0
    labels: tuple[str, ...]  # the name of each phase
    noun: str  # the kind of phase: "month", "hour of the day"


def season_phases(panel: Panel, windows: Windows) -> Phases:
    """Returns the phase of the panel's season at which each window's forecast begins."""
    unit, step, season = panel.frequency.unit, panel.frequency.step, panel.season
    ahead = windows.ends - panel.lengths[windows.series] + 1
    clock = panel.times(windows.series, ahead)
    if panel.zone is not None and len(clock):
        clock = clock_of(panel.zone, clock).to_local(clock)
    position = positions_of(unit, clock)
    if unit is Unit.MONTH and season * step == 12:
        labels = MONTHS if step == 1 else tuple(f"Q{k + 1}" for k in range(season))
        noun = {1: "month", 3: "quarter"}.get(step, "part of the year")
        return Phases(position // step % season, labels, noun)
    if unit is Unit.DAY and season * step == 7:
        return Phases((position + THURSDAY) % 7, WEEKDAYS, "weekday")
    if unit is Unit.BUSINESS_DAY and season * step == 5:
        return Phases(position % 5, WEEKDAYS[:5], "weekday")
    if unit in (Unit.MICROSECOND, Unit.CLOCK) and season * step == DAY:
        minutes = [k * step // MINUTE for k in range(season)]
        labels = tuple(f"{one // 60}:{one % 60:02d}" for one in minutes)
        if step % HOUR == 0:
            labels = tuple(str(one // 60) for one in minutes)
        return Phases(clock % DAY // step, labels, "hour of the day")
    labels = tuple(str(k + 1) for k in range(season))
    return Phases(position // step % season, labels, "place in the season")
