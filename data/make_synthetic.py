#!/usr/bin/env python3
"""Make a clustered data set of any size with its exact nearest neighbours, in the layout of ann-benchmarks.

The same options give the same file; memory stays bounded however many rows there are.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import in_venv  # noqa: F401  (first)
import groundtruth
import numpy as np

# Fixed, so that row i is the same for any number of rows.
GENERATED_ROWS = 4096
CENTERS, TRAIN, TEST = range(3)
SPREAD = 0.3


def cluster_rows(centers: np.ndarray, rows: int, seed: int, stream: int) -> Iterator[np.ndarray]:
    """Blocks of rows, each a centre plus noise narrower than the centres' own spread of 1."""
    for number, first in enumerate(range(0, rows, GENERATED_ROWS)):
        random = np.random.default_rng([seed, stream, number])
        chosen = random.integers(len(centers), size=GENERATED_ROWS)
        noise = random.standard_normal((GENERATED_ROWS, centers.shape[1]), dtype=np.float32)
        yield (centers[chosen] + np.float32(SPREAD) * noise)[:rows - first]


def positive(text: str) -> int:
    value = int(text.replace("_", ""))
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected 1 or more")
    return value


def options_of(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=positive, default=100_000, help="vectors to load (%(default)s)")
    parser.add_argument("--test", type=positive, default=1000, help="vectors to search for (%(default)s)")
    parser.add_argument("--dim", type=positive, default=128, help="(%(default)s)")
    parser.add_argument("--clusters", type=positive, default=100, help="(%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="0 or more (%(default)s)")
    parser.add_argument("--neighbors", type=positive, default=100, help="for each test vector (%(default)s)")
    parser.add_argument("--distance", choices=groundtruth.DISTANCES, default="euclidean", help="(%(default)s)")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    options = parser.parse_args(arguments)
    if options.neighbors > options.rows:
        parser.error(f"--neighbors {options.neighbors}: there are only {options.rows} --rows")
    if options.rows > np.iinfo(np.int32).max:
        parser.error(f"--rows {options.rows}: expected at most {np.iinfo(np.int32).max}, ids are 32 bits wide")
    if options.seed < 0:
        parser.error(f"--seed {options.seed}: expected 0 or more")
    return options


def main(arguments: list[str] | None = None) -> None:
    options = options_of(arguments)
    recipe = " ".join(f"{key}={value}" for key, value in sorted(vars(options).items()) if key != "output")
    recipe = f"clustered {recipe}"
    if groundtruth.is_complete(options.output, recipe):
        print(f"{options.output}: already there")
        return
    centers = np.random.default_rng([options.seed, CENTERS]).standard_normal(
        (options.clusters, options.dim), dtype=np.float32)
    train = cluster_rows(centers, options.rows, options.seed, TRAIN)
    test = np.concatenate(list(cluster_rows(centers, options.test, options.seed, TEST)))
    groundtruth.write_dataset(options.output, recipe, (options.rows, options.dim), train, test, options.neighbors,
                              options.distance)
    print(f"{options.output}: {options.rows} + {options.test} vectors of {options.dim}")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as problem:
        sys.exit(f"make_synthetic: {problem}")
