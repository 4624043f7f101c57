"""Prints tests/cpp/forecast/two_seasons_golden.h: the index of two seasons, written down plainly in NumPy.

    python tests/golden/generate_two_seasons.py > tests/cpp/forecast/two_seasons_golden.h

Independent of the library: nothing incremental, each origin from its values alone.
"""
import numpy as np

PREDICTORS = [  # how fast the average of a phase and of a long phase forgets, and the share of the latter
    (None, None, 0), (0, None, 0), (0.1, None, 0), (0.3, None, 0), (0.6, None, 0), (1, None, 0),
    (0, 0, 0.5), (0.3, 0, 0.5), (0, 0, 1), (0, 0.5, 1),
]


def centred(z, m):
    weights = np.full(m, 1 / m) if m % 2 else np.array([0.5, *np.ones(m - 1), 0.5]) / m
    half = len(weights) // 2
    found = np.full(len(z), np.nan)
    found[half : len(z) - half] = np.convolve(z, weights, "valid")
    return found


def average(numbers, least):
    found = numbers[0]
    for count, number in enumerate(numbers[1:], 2):
        found += max(least, 1 / count) * (number - found)
    return found


def predicted(shape, place, predictor, m, long):
    """From what lies one or more seasons before a place; None where nothing does."""
    least, long_least, share = predictor
    known = {period: [x for x in shape[place % period : place : period] if not np.isnan(x)] for period in (m, long)}
    if not known[m] or (share > 0 and not known[long]):
        return None
    short = 0.0 if least is None else average(known[m], least)
    return short if share == 0 else (1 - share) * short + share * average(known[long], long_least)


def index(z, m, long):
    """The index by long phase, and what it was made of: forgets, long share, level."""
    n, half = len(z), m // 2
    found, forgets, share, level = np.zeros(long), 0, 0, 0
    if n >= 3 * m:
        shape = z - centred(z, m)
        places = range(half, n - half)
        all_compete = places[-1] - half >= 2 * long
        some = PREDICTORS if all_compete else PREDICTORS[:6]
        # As many seasons, or long ones, must be known before a place.
        places = [i for i in places if i - half >= (long if all_compete else m)]
        errors = [sum(abs(shape[i] - predicted(shape, i, one, m, long)) for i in places) for one in some]
        one = some[int(np.argmin(errors))]
        if one[0] is not None:
            padded = np.append(shape[: n - half], np.full(long + m, np.nan))
            for phase in range(long):
                place = next(i for i in range(n - half, n - half + long) if i % long == phase)
                found[phase] = predicted(padded, place, one, m, long)
            found -= found.mean()
            share = one[2]
            forgets = one[1] if share == 1 else one[0]
    if n >= 3 * long:
        levels = centred(z, m) - centred(z, long)
        each = [levels[phase::long] for phase in range(long)]
        each = [some[~np.isnan(some)] for some in each]
        means = np.array([some.mean() for some in each])
        means -= means.mean()
        within = sum(((some - some.mean()) ** 2).sum() for some in each) / sum(len(some) - 1 for some in each)
        noise = within * np.mean([1 / len(some) for some in each])
        level = float(np.clip(1 - noise / (means**2).mean(), 0, 1))
        found = found + level * means
    return found, (forgets, share, level)


def values(i):
    """Days of 4 and weeks of 12 rows, of which the day's pattern turns, weeks matter, or neither."""
    t = np.arange(100)
    rng = np.random.default_rng(i)
    day = np.sin(2 * np.pi * t / 4 + (0, 0, 0.05, 0, 0)[i] * t)
    week = rng.normal(0, 1, 12)[t % 12]
    sizes = [(1, 0, 0.3), (0.5, 1, 0.1), (1, 0, 0.05), (0, 0, 1), (1, 0.3, 0.3)][i]
    return 3 + 0.01 * t + sizes[0] * day + sizes[1] * week + sizes[2] * rng.normal(0, 1, len(t))


def row(numbers):
    return "{" + ", ".join(repr(float(x)) for x in numbers) + "}"


def main():
    print("// Written by tests/golden/generate_two_seasons.py.\n#pragma once\n\n#include <cstdint>\n#include <vector>\n")
    print("// clang-format off\nnamespace memattn::testing {\n")
    print("// A season of 4 and a long one of 12. Of each origin, the index, and what it was made of.\n"
          "struct TwoSeasonsCase {\n  std::vector<double> values;\n  std::vector<std::int64_t> origins;\n"
          "  std::vector<std::vector<double>> index, found;\n};\n")
    print("inline const std::vector<TwoSeasonsCase> kTwoSeasonsCases = {")
    for i in range(5):
        z = np.round(values(i), 6)
        origins = [4, 11, 12, 13, 27, 28, 29, 35, 36, 37, 60, 83, 99, 100]
        both = [index(z[:origin], 4, 12) for origin in origins]
        print(f"  {{{row(z)},\n   {{{', '.join(map(str, origins))}}},")
        for part in (0, 1):
            print("   {" + ",\n    ".join(row(one[part]) for one in both) + "}" + ("," if part == 0 else ""))
        print("  },")
    print("};\n\n}  // namespace memattn::testing\n// clang-format on")


if __name__ == "__main__":
    main()
