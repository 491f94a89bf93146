"""The neighbours against brute force: in integers, where nothing is rounded, and in float64."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

import groundtruth


@pytest.fixture(autouse=True)
def many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks so small that every search crosses their borders."""
    monkeypatch.setattr(groundtruth, "BLOCK_BYTES", 8 * 784 * 64)
    monkeypatch.setattr(groundtruth, "TEST_CHUNK", 7)
    monkeypatch.setattr(groundtruth, "PAIR_CHUNK", 50)


def first_k(distances: np.ndarray, k: int) -> np.ndarray:
    return np.stack([np.lexsort((np.arange(len(row)), row))[:k] for row in distances])


def squared(test: np.ndarray, train: np.ndarray) -> np.ndarray:
    return np.stack([((train - row) ** 2).sum(axis=1) for row in test])


def test_pixels_against_integers() -> None:
    random = np.random.default_rng(1)
    train = random.integers(0, 256, (1000, 784), dtype=np.int64)
    test = random.integers(0, 256, (30, 784), dtype=np.int64)
    exact = squared(test, train)
    ids, distances = groundtruth.nearest(train.astype(np.float32), test.astype(np.float32), 20, "euclidean")
    expected = first_k(exact, 20)
    assert np.array_equal(ids, expected)
    assert np.array_equal(distances, np.sqrt(np.take_along_axis(exact, expected, 1)).astype(np.float32))
    assert (ids.dtype, distances.dtype) == (np.int32, np.float32)


def test_ties_go_to_the_lower_id() -> None:
    train = np.random.default_rng(2).integers(0, 2, (2000, 6)).astype(np.float32)  # 64 points, 30 copies of each
    test = train[:25]
    ids, _ = groundtruth.nearest(train, test, 50, "euclidean")
    assert np.array_equal(ids, first_k(squared(test.astype(np.int64), train.astype(np.int64)), 50))


def far_from_the_origin() -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers whose differences drown in the rounding of their lengths, by matrix product."""
    random = np.random.default_rng(3)
    train = random.integers(-16_000_000, 16_000_000, 784) + random.integers(0, 4, (500, 784))
    return train, train[::25] + 1


def test_rounding_stays_inside_the_slack() -> None:
    train, test = far_from_the_origin()
    rough, slack = groundtruth.all_distances(test.astype(np.float64), train.astype(np.float64), "euclidean")
    error = np.abs(rough - squared(test, train)).max(axis=1)
    assert error.min() > 0
    assert (2 * error <= slack).all()


def test_near_ties_far_from_the_origin() -> None:
    train, test = far_from_the_origin()
    exact = squared(test, train)
    ids, distances = groundtruth.nearest(train.astype(np.float32), test.astype(np.float32), 10, "euclidean")
    assert np.array_equal(ids, first_k(exact, 10))
    assert np.array_equal(distances, np.sqrt(np.sort(exact, axis=1)[:, :10]).astype(np.float32))


def test_angular_against_float64() -> None:
    random = np.random.default_rng(4)
    train, test = (random.standard_normal((n, 24)).astype(np.float32) for n in (3000, 40))
    wide, other = train.astype(np.float64), test.astype(np.float64)
    exact = 1 - (other @ wide.T) / np.outer(np.linalg.norm(other, axis=1), np.linalg.norm(wide, axis=1))
    ids, distances = groundtruth.nearest(train, test, 15, "angular")
    assert np.array_equal(ids, first_k(exact, 15))
    assert np.allclose(distances, np.sort(exact, axis=1)[:, :15], rtol=1e-6, atol=0)


def test_angular_of_itself_and_of_nothing() -> None:
    train = np.array([[0, 0], [3, 0], [0, -2], [-1, 0]], dtype=np.float32)
    ids, distances = groundtruth.nearest(train, train[:2], 4, "angular")
    assert ids.tolist() == [[0, 1, 2, 3], [1, 0, 2, 3]]
    assert distances.tolist() == [[1, 1, 1, 1], [0, 1, 1, 2]]


def test_all_rows_as_neighbours() -> None:
    train = np.arange(300, dtype=np.float32).reshape(-1, 1)
    ids, _ = groundtruth.nearest(train, train[:1], 300, "euclidean")
    assert ids.tolist() == [list(range(300))]


@pytest.mark.parametrize("k", [0, 11])
def test_impossible_number_of_neighbours(k: int) -> None:
    with pytest.raises(ValueError, match=f"{k} of 10 rows"):
        groundtruth.nearest(np.zeros((10, 2), np.float32), np.zeros((1, 2), np.float32), k, "euclidean")


def test_layout(tmp_path) -> None:
    train = np.random.default_rng(5).standard_normal((100, 5)).astype(np.float32)
    path = tmp_path / "new" / "set.hdf5"
    groundtruth.write_dataset(path, "a recipe", train.shape, iter([train[:60], train[60:]]), train[:3], 4, "euclidean")
    with h5py.File(path) as file:
        assert {name: (part.shape, part.dtype, part.chunks) for name, part in file.items()} == {
            "train": ((100, 5), np.float32, None), "test": ((3, 5), np.float32, None),
            "neighbors": ((3, 4), np.int32, None), "distances": ((3, 4), np.float32, None)}
        assert file.attrs["distance"] == "euclidean"
        assert np.array_equal(file["train"], train)
        assert file["neighbors"][:, 0].tolist() == [0, 1, 2] and not file["distances"][:, 0].any()
    assert [entry.name for entry in path.parent.iterdir()] == ["set.hdf5"]


def test_wrong_contents_leave_no_file(tmp_path) -> None:
    train = np.ones((5, 2), np.float32)
    with pytest.raises(ValueError, match="expected 0000"):
        groundtruth.write_dataset(tmp_path / "x", "r", train.shape, iter([train]), train, 1, "euclidean", "0000")
    assert not list(tmp_path.iterdir())
