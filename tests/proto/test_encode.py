"""What milvus/ encodes, against messages built with the descriptors that pymilvus ships: the same bytes."""

import math
import os
import pathlib
import struct
import subprocess
from types import SimpleNamespace

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from test_descriptors import shipped  # noqa: F401  a fixture

FEW, MANY, SMALL_DIM, LARGE_DIM = 5, 300, 4, 16
TIMESTAMP = 0xFEDCBA9876543210
TYPES = {  # field: (DataType, member of ScalarField)
    "flag": ("Bool", "bool_data"),
    "tiny": ("Int8", "int_data"),
    "short": ("Int16", "int_data"),
    "normal": ("Int32", "int_data"),
    "long": ("Int64", "long_data"),
    "single": ("Float", "float_data"),
    "twice": ("Double", "double_data"),
    "text": ("VarChar", "string_data"),
}


@pytest.fixture(scope="session", params=["2.3.7", "current"])
def theirs(request, shipped):  # noqa: F811
    """Message classes by name, and the service's methods."""
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(descriptor_pb2.DESCRIPTOR.serialized_pb)
    left = [file for file in shipped[request.param] if file.name != descriptor_pb2.DESCRIPTOR.name]
    while left:  # each after those it imports
        known = {file.name for file in left}
        ready = [file for file in left if not known & set(file.dependency)]
        assert ready
        for file in ready:
            add(pool, file)
        left = [file for file in left if file not in ready]

    def message(name, /, **fields):
        return message_factory.GetMessageClass(pool.FindMessageTypeByName("milvus.proto." + name))(**fields)

    def number(name):
        enum, _, value = name.rpartition(".")
        return pool.FindEnumTypeByName("milvus.proto." + enum).values_by_name[value].number

    service = pool.FindServiceByName("milvus.proto.milvus.MilvusService")
    return SimpleNamespace(message=message, number=number, methods=service.methods_by_name)


def add(pool, file):
    try:
        pool.Add(file)
    except TypeError:  # a copy that differs from a file of protobuf itself
        assert file.name.startswith("google/")


@pytest.fixture(scope="session")
def encoded(tmp_path_factory):
    """{name: (method, bytes)} from the program that the build made."""
    program = os.environ.get("MH_PROTO_ENCODE")
    if not program:
        pytest.skip("MH_PROTO_ENCODE does not name the program that the build makes of encode.c")
    folder = tmp_path_factory.mktemp("encoded")
    lines = subprocess.run([program, folder], check=True, capture_output=True, text=True).stdout.splitlines()
    return {name: (method, pathlib.Path(folder, name + ".bin").read_bytes()) for name, method in map(str.split, lines)}


# ---- the same values as encode.c has ----

def float_of(i):
    bits = i * 2654435761 & 0xFFFFFFFF if i != 1 else 1 << 31
    if bits >> 23 & 255 == 255:
        bits &= 0x807FFFFF
    return struct.unpack("<f", struct.pack("<I", bits))[0]


def value_of(field, i):
    return {
        "flag": lambda: i % 2 == 1,
        "tiny": lambda: i % 256 - 128,
        "short": lambda: i * 300 % 65536 - 32768,
        "normal": lambda: i * 7654321 - 2**31,
        "long": lambda: -(2**63) + i * 30744573456182586,
        "single": lambda: float_of(i + 17),
        "twice": lambda: i / 3 - 1e10,
        "text": lambda: f"näme {i}" if i % 3 else "",
    }[field]()


def column(theirs, field, rows):
    kind, member = TYPES[field]
    result = theirs.message("schema.FieldData", type=theirs.number("schema.DataType." + kind), field_name=field)
    getattr(result.scalars, member).data.extend(value_of(field, i) for i in range(rows))
    return result


def vectors(theirs, rows, dim):
    result = theirs.message("schema.FieldData", type=theirs.number("schema.DataType.FloatVector"), field_name="vector")
    result.vectors.dim = dim
    result.vectors.float_vector.data.extend(float_of(i) for i in range(rows * dim))
    return result


def pair(theirs, key, value):
    return theirs.message("common.KeyValuePair", key=key, value=value)


# ---- the requests ----

def rows(name, many):
    count, dim = (MANY, LARGE_DIM) if many else (FEW, SMALL_DIM)

    def build(theirs):
        fields = [column(theirs, field, count) for field in TYPES] + [vectors(theirs, count, dim)]
        partition = {} if many else {"partition_name": "part_1"}
        return theirs.message(name, collection_name="things", fields_data=fields, num_rows=count, **partition)
    return build


def query(level, guarantee):
    return lambda theirs: theirs.message(
        "milvus.QueryRequest", collection_name="things", expr="id >= -3 and id < 9", output_fields=["id", "vector", "text"],
        partition_names=["part_1"], query_params=[pair(theirs, "limit", "16384")], guarantee_timestamp=guarantee,
        consistency_level=theirs.number("common.ConsistencyLevel." + level))


def search(queries, params, *offset, **more):
    def build(theirs):
        values = [struct.pack(f"<{SMALL_DIM}f", *(float_of(i) for i in range(q * SMALL_DIM, (q + 1) * SMALL_DIM))) for q in range(queries)]
        value = theirs.message("common.PlaceholderValue", tag="$0", type=theirs.number("common.PlaceholderType.FloatVector"), values=values)
        group = theirs.message("common.PlaceholderGroup", placeholders=[value]).SerializeToString()
        given = [("anns_field", "vector"), ("metric_type", "L2"), ("topk", "10"), ("params", params), ("round_decimal", "-1"), *offset]
        return theirs.message("milvus.SearchRequest", collection_name="things", placeholder_group=group, nq=queries,
                              dsl_type=theirs.number("common.DslType.BoolExprV1"),
                              search_params=[pair(theirs, *one) for one in given], **more)
    return build


def create_index(params):
    return lambda theirs: theirs.message(
        "milvus.CreateIndexRequest", collection_name="things", field_name="vector", index_name="vector",
        extra_params=[pair(theirs, "index_type", "IVF_FLAT"), pair(theirs, "metric_type", "L2"), pair(theirs, "params", params)])


def schema(theirs, dim):
    number = theirs.number
    fields = [theirs.message("schema.FieldSchema", name="id", data_type=number("schema.DataType.Int64"), is_primary_key=True)]
    for field, (kind, _) in TYPES.items():
        length = [pair(theirs, "max_length", "99")] if kind == "VarChar" else []
        fields.append(theirs.message("schema.FieldSchema", name=field, data_type=number("schema.DataType." + kind), type_params=length))
    fields.append(theirs.message("schema.FieldSchema", name="vector", data_type=number("schema.DataType.FloatVector"),
                                 type_params=[pair(theirs, "dim", dim)]))
    return theirs.message("schema.CollectionSchema", name="things", fields=fields).SerializeToString()


def create_collection(dim, **more):
    return lambda theirs: theirs.message("milvus.CreateCollectionRequest", collection_name="things", schema=schema(theirs, dim), **more)


def plain(message, **fields):
    return lambda theirs: theirs.message("milvus." + message, **fields)


NAMED = {"collection_name": "things"}
INDEX = NAMED | {"field_name": "vector", "index_name": "vector"}
EXPECTED = {  # name in encode.c: (method, message)
    "insert": ("Insert", rows("milvus.InsertRequest", False)),
    "insert_many": ("Insert", rows("milvus.InsertRequest", True)),
    "upsert": ("Upsert", rows("milvus.UpsertRequest", False)),
    "upsert_many": ("Upsert", rows("milvus.UpsertRequest", True)),
    "delete": ("Delete", plain("DeleteRequest", expr=f"id in [0,-1,{2**63 - 1},{-2**63},1000000000000]", **NAMED)),
    "delete_one": ("Delete", plain("DeleteRequest", expr="id in [0]", partition_name="part_1", **NAMED)),
    "query_count": ("Query", plain("QueryRequest", output_fields=["count(*)"], **NAMED)),
    "query_strong": ("Query", query("Strong", 0)),
    "query_session": ("Query", query("Session", TIMESTAMP)),
    "query_bounded": ("Query", query("Bounded", 2)),
    "query_eventually": ("Query", query("Eventually", 1)),
    "search": ("Search", search(1, "{}")),
    "search_full": ("Search", search(3, '{"nprobe": 16}', ("offset", "5"), dsl='text like "prefix%"', output_fields=["id", "text"],
                                     partition_names=["part_1", "part_2"], consistency_level=2, guarantee_timestamp=2)),
    "create_index": ("CreateIndex", create_index('{"nlist": 128}')),
    "create_index_plain": ("CreateIndex", create_index("{}")),
    "drop_index": ("DropIndex", plain("DropIndexRequest", **INDEX)),
    "describe_index": ("DescribeIndex", plain("DescribeIndexRequest", **INDEX)),
    "create_collection": ("CreateCollection", create_collection("784", shards_num=3, consistency_level=2)),
    "create_collection_own_dim": ("CreateCollection", create_collection("12")),
    "drop_collection": ("DropCollection", plain("DropCollectionRequest", **NAMED)),
    "has_collection": ("HasCollection", plain("HasCollectionRequest", **NAMED)),
    "create_partition": ("CreatePartition", plain("CreatePartitionRequest", partition_name="part_1", **NAMED)),
    "drop_partition": ("DropPartition", plain("DropPartitionRequest", partition_name="part_1", **NAMED)),
    "show_collections": ("ShowCollections", plain("ShowCollectionsRequest")),
    "show_partitions": ("ShowPartitions", plain("ShowPartitionsRequest", **NAMED)),
    "load": ("LoadCollection", plain("LoadCollectionRequest", **NAMED)),
    "release": ("ReleaseCollection", plain("ReleaseCollectionRequest", **NAMED)),
    "load_state": ("GetLoadState", plain("GetLoadStateRequest", **NAMED)),
    "flush": ("Flush", plain("FlushRequest", collection_names=["things"])),
    "flush_state": ("GetFlushState", plain("GetFlushStateRequest", segmentIDs=[448251234567890123, 1, 300], flush_ts=TIMESTAMP, **NAMED)),
    "statistics": ("GetCollectionStatistics", plain("GetCollectionStatisticsRequest", **NAMED)),
    "version": ("GetVersion", plain("GetVersionRequest")),
    "metrics": ("GetMetrics", plain("GetMetricsRequest", request='{"metric_type": "system_info"}')),
}


def test_every_request_is_known(encoded):
    assert encoded.keys() == EXPECTED.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_same_bytes(name, theirs, encoded):
    method, build = EXPECTED[name]
    expected = build(theirs)
    path, sent = encoded[name]
    assert path == "/milvus.proto.milvus.MilvusService/" + method
    assert theirs.methods[method].input_type.full_name == expected.DESCRIPTOR.full_name
    read = type(expected).FromString(sent)
    assert read == expected  # says which field
    assert sent == expected.SerializeToString(deterministic=True)


def test_vectors_have_hard_bits():
    """Subnormal numbers and both zeros are among those sent."""
    sent = [float_of(i) for i in range(MANY * LARGE_DIM)]
    assert any(0 < abs(x) < 2**-126 for x in sent)
    assert {math.copysign(1, x) for x in sent if x == 0} == {1, -1}
    assert any(x < -1e30 for x in sent) and any(x > 1e30 for x in sent)
