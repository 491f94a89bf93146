"""Jobs with searches and queries, as the tests of reads use them."""

from __future__ import annotations

from support import Done

SEED = 17
FIELDS = [{"name": "id", "type": "int64", "primary": True}, {"name": "vector", "type": "float_vector"},
          {"name": "varchar_field", "type": "varchar", "max_length": 64}]
FILL = {"name": "fill", "roles": [{"role": "writer", "count": 4, "rows": 1000, "batch": 100},
                                  {"role": "deleter", "count": 1, "batch": 20, "share": "30%"},
                                  {"role": "upserter", "count": 1, "batch": 20, "share": "30%"}]}
SEARCHER = {"role": "searcher", "count": 3, "ops": 200, "topk": 10, "nq": 2, "params": {"nprobe": 16}}
FILTERED = SEARCHER | {"filter": 'varchar_field like "prefix{prefix}%" or id < {id}'}
RANGE = SEARCHER | {"topk": 200, "radius": "random", "range_filter": "random", "share": "2%"}
TELLING = SEARCHER | {"output": ["varchar_field"]}
QUERIER = {"role": "querier", "count": 2, "ops": 100, "expression": 'id > {id} and varchar_field like "prefix1%"'}
COUNTER = QUERIER | {"returns": "count"}
CHURN = [{"role": "writer", "count": 2, "rows": 1500, "batch": 20, "rate": "75/s"}, {"role": "deleter", "count": 1, "batch": 5},
         {"role": "upserter", "count": 1, "batch": 5}]


def job_for(*stages: list[dict], metric: str = "L2", level: str = "strong", **verify: object) -> dict:
    return {
        "server": {"uri": "", "timeout": "20s"},
        "dataset": {"synthetic": {"rows": 3000, "dim": 12}},
        "collection": {"name": "reads", "fields": FIELDS, "consistency": level,
                       "index": {"type": "FLAT", "metric": metric, "params": {}}},
        "stages": [FILL, *({"name": f"look{i}", "roles": roles} for i, roles in enumerate(stages))],
        "verify": {"recheck": [], "vectors": "none", "recall": 100000} | verify,
    }


def kinds_of(done: Done) -> set[str]:
    return {kind for kind, ids in done.result.found.items() if ids}
