"""Lies in answers to searches and queries, told by a proxy in front of an honest mock: each kind in each shape of read that can carry it, and
each must be called by its name. No audit: what is found, the readers found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import grpc
import h5py
import numpy as np
import pytest
from mockserver import Mock
from proxy import Counter, Forward, Lie, behind, honest
from pymilvus.grpc_gen import milvus_pb2
from support import GOOD, VIOLATED, Done, Server, hpc, write_job

FIELDS = [{"name": "id", "type": "int64", "primary": True}, {"name": "vector", "type": "float_vector"},
          {"name": "varchar_field", "type": "varchar", "max_length": 64}, {"name": "flag", "type": "bool"}]
FILL = {"name": "fill", "roles": [{"role": "writer", "count": 3, "rows": 300, "batch": 100, "partition": "own"},
                                  {"role": "upserter", "count": 1, "batch": 20, "share": "30%"}]}
ALL, STRANGER = -1, 777_777  # id of what is about no single row; an id that nobody writes
HALF = {"partitions": ["fill_0_00000", "fill_0_00002"]}
SEARCH = {"role": "searcher", "count": 1, "ops": 20, "topk": 10, "exact": True}
NQ = SEARCH | {"nq": 3}
SHOW = SEARCH | {"output": ["varchar_field"]}
OFFSET = SEARCH | {"offset": 5}
RANGE = SEARCH | {"topk": 50, "radius": "random", "share": "20%"}
QUERY = {"role": "querier", "count": 1, "ops": 20, "expression": "id >= 300 and id < 350", "limit": 100}
COUNT = QUERY | {"returns": "count"}
PAGES = QUERY | {"iterator": True, "limit": 17, "expression": "id < 400"}
BEHIND = QUERY | {"offset": 7}
VECTORS = QUERY | {"output": ["vector"], "expression": "id >= 0", "limit": 1000}


def job_for(*stages: list[dict], **collection: object) -> dict:
    return {
        "server": {"uri": "", "timeout": "20s"},
        "dataset": {"synthetic": {"rows": 700, "dim": 6}},
        "collection": {"name": "lies", "fields": FIELDS, "index": {"type": "FLAT", "metric": "L2", "params": {}}} | collection,
        "stages": [FILL, *({"name": f"look{i}", "roles": roles} for i, roles in enumerate(stages))],
        "verify": {"enabled": False, "recall": 5000},
        "calibrate": "never",
    }


def ask(folder: Path, job: dict, uri: str, np: int) -> Done:
    return hpc("run", write_job(folder / "job.yaml", job), "--server", uri, "--seed", 3, "--output", folder / "result.h5",
               np=np, result=folder / "result.h5")


def run(folder: Path, job: dict, lie: Lie = honest, faults: tuple[str, ...] = (), np: int = 1, lag: str = "0ms") -> Done:
    with Mock(folder, faults, ["--staleness", lag]) as mock, behind(mock.uri, lie) as uri:
        return ask(folder, job, uri, np)


SHAPES = [SEARCH, NQ | OFFSET, SHOW | {"output": ["*"]}, SHOW | {"output": ["id", "vector"]}, OFFSET | RANGE, RANGE | HALF, OFFSET | HALF, QUERY, COUNT,
          PAGES, BEHIND, BEHIND | {"offset": 70}, BEHIND | {"offset": 1, "limit": 3}, VECTORS, QUERY | {"output": ["*"]}, QUERY | {"output": ["flag"]},
          QUERY | HALF, SEARCH | {"topk": 950, "offset": 20}]
UPSERTS = {"role": "churn", "count": 3, "rows": 300, "batch": 10, "rate": "60/s", "weights": {"insert": 1, "delete": 1, "upsert": 2}}


@pytest.mark.parametrize("metric", ["L2", "IP", "COSINE"])
def test_the_truth_in_every_shape(tmp_path: Path, metric: str) -> None:
    index = {"type": "FLAT", "metric": metric, "params": {}}
    done = run(tmp_path, job_for(SHAPES, index=index), np=2)
    assert done.code == GOOD, str(done)
    figures = done.result.figures
    assert figures["searches_compared"] == 200 and figures["queries_compared"] == 200, str(done)
    assert figures["true_neighbors_found"] == figures["true_neighbors"] > 19000, str(done)


@pytest.mark.parametrize("level", ["strong", "session", "bounded", "eventually"])
def test_the_truth_among_upserts(tmp_path: Path, level: str) -> None:
    done = run(tmp_path, job_for([*(shape | {"ops": 100} for shape in SHAPES), UPSERTS], consistency=level), np=3, lag="300ms")
    assert done.code == GOOD, str(done)
    behind_rows = {name: done.result.figures[f"rows_behind_{name}"] for name in ("session", "bounded", "eventually")}
    longest = {name: done.result.figures[f"most_behind_{name}_ns"] for name in behind_rows}
    assert level == "strong" or behind_rows[level] > 0, str(done)
    assert all((rows > 0) == (name == level) == (longest[name] > 0) for name, rows in behind_rows.items() if level != "strong"), str(done)
    assert max(longest["bounded"], longest["eventually"]) < 301e6, str(done)  # the mock lags by 300 ms there
    assert (f"at {level} " in done.out) == (behind_rows.get(level, 0) > 0), str(done)


def test_the_real_server_in_every_shape(tmp_path: Path, server: Server) -> None:
    """At rest and among inserts and deletes; FLAT finds all. Upserts: see docs/findings.md."""
    roles = [shape | {"topk": 900 if shape.get("topk", 0) > 900 else shape.get("topk"), "ops": 6} if "topk" in shape else shape | {"ops": 6} for shape in SHAPES]
    done = ask(tmp_path, job_for(roles, [*roles, UPSERTS | {"for": "3s", "weights": {"insert": 2, "delete": 1, "upsert": 0}}]), server.uri, 2)
    assert done.code == GOOD, str(done)
    assert done.result.figures["queries_compared"] == 2 * 60 and done.result.figures["searches_compared"] == 2 * 60, str(done)


# --- lies -------------------------------------------------------------------------------------------------------------


def altered(method: str, change: Callable[..., None]) -> Lie:
    """Every second reply to reads that ask for something: changed by change(reply)."""
    number = Counter()
    kind = {"Search": milvus_pb2.SearchResults, "Query": milvus_pb2.QueryResults}[method]

    def lie(called: str, _request: bytes, forward: Forward, _context: grpc.ServicerContext) -> bytes:
        reply = forward()
        if called != method or number.next() % 2:
            return reply
        message = kind.FromString(reply)
        change(message)
        return message.SerializeToString()

    return lie


def asked(method: str, change: Callable[..., None]) -> Lie:
    """The server is asked for something else than the client asked for: change(request)."""
    kind = {"Search": milvus_pb2.SearchRequest, "Query": milvus_pb2.QueryRequest}[method]

    def lie(called: str, request: bytes, forward: Forward, _context: grpc.ServicerContext) -> bytes:
        if called != method:
            return forward()
        message = kind.FromString(request)
        change(message)
        return forward(message.SerializeToString())

    return lie


def pairs_of(request: object) -> object:
    return request.search_params if isinstance(request, milvus_pb2.SearchRequest) else request.query_params


def add_to(key: str, more: int) -> Callable[[object], None]:
    def change(request: object) -> None:
        for pair in pairs_of(request):
            if pair.key == key:
                pair.value = str(int(pair.value) + more)
    return change


def everywhere(request: object) -> None:
    del request.partition_names[:]


def all_rows(query: object) -> None:
    query.expr = "id >= 0 and id < 350"


def behind_nothing(query: object) -> None:
    """Of an iterator's expression, not where it stands."""
    query.expr = query.expr.partition(" and id > ")[0]


def column(reply: object, name: str) -> object:
    fields = reply.results.fields_data if isinstance(reply, milvus_pb2.SearchResults) else reply.fields_data
    return next(field for field in fields if field.field_name == name)


def strange(reply: object) -> None:
    reply.results.ids.int_id.data[4] = STRANGER


def queries_change_places(reply: object) -> None:
    ids, scores = reply.results.ids.int_id.data, reply.results.scores
    ids[0:10], ids[10:20] = ids[10:20], ids[0:10]
    scores[0:10], scores[10:20] = scores[10:20], scores[0:10]


def last_query_empty(reply: object) -> None:
    del reply.results.ids.int_id.data[20:]
    del reply.results.scores[20:]
    reply.results.topks[2] = 0


def fewer_queries(reply: object) -> None:
    last_query_empty(reply)
    del reply.results.topks[2:]


def no_fields(reply: object) -> None:
    del reply.results.fields_data[:]


def other_text(reply: object) -> None:
    texts = column(reply, "varchar_field").scalars.string_data.data
    texts[1] = texts[0]


def no_score(reply: object) -> None:
    reply.results.scores[3] = float("nan")


def without(*names: str) -> Callable[[object], None]:
    def change(reply: object) -> None:
        kept = [field for field in reply.fields_data if field.field_name not in names]
        del reply.fields_data[:]
        reply.fields_data.extend(kept)
    return change


def values(field: object) -> tuple[object, int]:
    if field.WhichOneof("field") == "vectors":
        return field.vectors.float_vector.data, field.vectors.dim
    return getattr(field.scalars, field.scalars.WhichOneof("data")).data, 1


def skip_row(reply: object) -> None:
    for field in reply.fields_data:
        rows, width = values(field)
        del rows[2 * width:3 * width]


def skip_inner_row(reply: object) -> None:
    """Of pages that are full, and stay so to who looks at their ends alone: the last row again in place of one between."""
    if len(column(reply, "id").scalars.long_data.data) > 3:
        skip_row(reply)


def row_twice(reply: object) -> None:
    for field in reply.fields_data:
        rows, width = values(field)
        rows.extend(rows[:width])


def one_more(reply: object) -> None:
    reply.fields_data[0].scalars.long_data.data[0] += 1


def no_number(reply: object) -> None:
    del reply.fields_data[:]


def other_vector(reply: object) -> None:
    column(reply, "vector").vectors.float_vector.data[8] += 1


LIES = {
    "search_strange": (SEARCH | {"exact": False}, altered("Search", strange), {"unexpected"}),
    "search_queries_swapped": (NQ | {"exact": False}, altered("Search", queries_change_places), {"wrong_distance"}),
    "search_last_of_three_empty": (NQ, altered("Search", last_query_empty), {"missed"}),
    "search_two_of_three": (NQ, altered("Search", fewer_queries), {"missed"}),
    "search_without_its_fields": (SHOW, altered("Search", no_fields), {"corrupted"}),
    "search_with_another_text": (SHOW, altered("Search", other_text), {"corrupted"}),
    "search_with_no_score": (SEARCH, altered("Search", no_score), {"wrong_distance"}),
    "search_one_too_many": (SEARCH, asked("Search", add_to("topk", 1)), {"surplus"}),
    "search_everywhere": (SEARCH | HALF, asked("Search", everywhere), {"misplaced"}),
    "search_offset_ignored": (OFFSET, asked("Search", add_to("offset", -5)), {"surplus"}),
    "search_offset_ignored_in_a_range": (OFFSET | RANGE, asked("Search", add_to("offset", -5)), {"surplus"}),
    "search_offset_beyond": (OFFSET, asked("Search", add_to("offset", 2)), {"missed"}),
    "query_without_keys": (QUERY, altered("Query", without("id")), {"corrupted"}),
    "query_without_a_field": (QUERY, altered("Query", without("flag")), {"corrupted"}),
    "query_without_any": (QUERY, altered("Query", without("flag", "varchar_field")), {"corrupted"}),
    "query_with_another_text": (QUERY, altered("Query", other_text), {"corrupted"}),
    "query_with_another_vector": (VECTORS, altered("Query", other_vector), {"corrupted"}),
    "query_a_row_short": (QUERY, altered("Query", skip_row), {"missed"}),
    "query_a_row_twice": (QUERY, altered("Query", row_twice), {"duplicated"}),
    "query_limit_ignored": (QUERY | {"limit": 40}, asked("Query", add_to("limit", 5)), {"surplus"}),
    "query_unfiltered": (QUERY | {"limit": 1000}, asked("Query", all_rows), {"filter_ignored"}),
    "query_everywhere": (QUERY | HALF, asked("Query", everywhere), {"misplaced"}),
    "query_offset_ignored": (BEHIND, asked("Query", add_to("offset", -7)), {"surplus"}),
    "query_offset_beyond": (BEHIND, asked("Query", add_to("offset", 1)), {"missed"}),
    "count_one_more": (COUNT, altered("Query", one_more), {"miscounted"}),
    "count_everywhere": (COUNT | HALF | {"expression": ""}, asked("Query", everywhere), {"miscounted"}),
    "count_unfiltered": (COUNT, asked("Query", all_rows), {"miscounted"}),
    "count_without_a_number": (COUNT, altered("Query", no_number), {"miscounted"}),
    "page_skips_a_row": (PAGES, altered("Query", skip_inner_row), {"missed"}),
    "page_from_the_begin": (PAGES, asked("Query", behind_nothing), {"filter_ignored"}),
}


@pytest.mark.parametrize("name", LIES)
def test_each_lie_is_named(tmp_path: Path, name: str) -> None:
    role, lie, kinds = LIES[name]
    done = run(tmp_path, job_for([role]), lie)
    assert done.code == VIOLATED and set(done.result.found) == kinds, str(done)


def test_recall_does_not_shrink_with_the_distance_from_the_origin(tmp_path: Path) -> None:
    """Scores are coarse there; our own distances are not. Of the ranks 5 to 15 that are asked for, 10 to 20 come."""
    random = np.random.default_rng(4)
    with h5py.File(tmp_path / "far.hdf5", "w") as file:
        file["train"], file["test"] = (1000 + random.standard_normal((rows, 32)).astype(np.float32) for rows in (900, 50))
    job = job_for([OFFSET | {"exact": False}]) | {"dataset": {"path": str(tmp_path / "far.hdf5")}}
    done = run(tmp_path, job, asked("Search", add_to("offset", 5)))
    figures = done.result.figures
    assert done.code == GOOD and figures["true_neighbors_found"] * 2 == figures["true_neighbors"] == 200, str(done)


OLD = {
    "vectors": VECTORS, "scalars": VECTORS | {"output": []}, "hits_with_vectors": SHOW | {"topk": 200, "output": ["vector"]},
    "hits_with_scalars": SHOW | {"topk": 200}, "hits_alone": SEARCH | {"topk": 200},
}


@pytest.mark.parametrize("name", OLD)
def test_a_version_replaced_is_stale_by_whatever_shows_it(tmp_path: Path, name: str) -> None:
    done = run(tmp_path, job_for([OLD[name] | {"exact": False}]), faults=("upsert_lost=30%",))
    assert done.code == VIOLATED and set(done.result.found) == {"stale"}, str(done)
