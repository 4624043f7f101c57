"""Forecasts a shop's sales two weeks ahead from CSV files, with planned prices and promotions."""

import argparse
import csv
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from memattn.forecast import Forecaster

DAYS, HORIZON = 400, 14

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--steps", type=int, default=600)
steps = parser.parse_args().steps

# Sales fall with the price, rise by half in a promotion, and are higher on weekends.
rng = np.random.default_rng(0)
days = [date(2024, 1, 1) + timedelta(days=k) for k in range(DAYS + HORIZON)]
price = rng.choice([3.0, 3.5, 4.0], len(days))
promo = rng.random(len(days)) < 0.15
weekend = np.array([day.weekday() >= 5 for day in days])
noise = 0.05 * rng.normal(size=len(days))
sales = np.rint(80 * np.exp(0.4 * promo - 0.3 * (price - 3) + 0.25 * weekend + noise))

rows = list(zip(days, sales.astype(int), price, promo, strict=True))
with Path("shop.csv").open("w", newline="") as file:
    csv.writer(file).writerows([("date", "sales", "price", "promo"), *rows[:DAYS]])
with Path("plan.csv").open("w", newline="") as file:
    plan = [(day, *known) for day, _, *known in rows[DAYS:]]
    csv.writer(file).writerows([("date", "price", "promo"), *plan])

names = {"time_col": "date", "target_col": "sales"}
known = Forecaster(HORIZON, futr_exog_list=["price", "promo"], steps=steps, **names)
known.fit("shop.csv")
alone = Forecaster(HORIZON, steps=steps, **names).fit("shop.csv")
for name, table in (("with", known.predict(X_df="plan.csv")), ("without", alone.predict())):
    error = np.abs(np.asarray(table["memattn"]) - sales[DAYS:]).mean()
    print(f"mean absolute error {name} covariates: {error:.1f}")

explanation = known.explain()
print(explanation)
for curve in explanation.curves:
    for value, forecast in zip(curve.values, curve.forecasts.mean(axis=1), strict=True):
        print(f"{curve.name} {value:g}: {forecast:.0f} sold a day")
