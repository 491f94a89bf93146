"""Every message, field and enum value of proto/ against the descriptors that two releases of pymilvus ship.

A wrong number or type in a .proto is not an error on the wire: the field is taken for another or dropped.
"""

import ast
import os
import pathlib
import struct
import subprocess
import sys

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
RELEASES = ("2.3.7", "current")
FILES = ("common.proto", "schema.proto", "milvus.proto")
PREFIX = "milvus.proto."

# Where we differ from Milvus on purpose: (name, ours, theirs). Anything else is an error, and so is
# a row that no longer describes a difference.
DIFFERENT = {
    "schema.FloatArray.data": (
        "1 bytes",
        "1 repeated packed float",
        "a packed array of floats has the same bytes; as bytes it is never copied",
    ),
}

# What 2.3.7 does not know yet, by the first series of releases that does; a message or an enum stands for all
# that is in it. The current release must know every one.
LATER = {
    "common.ErrorCode.SchemaMismatch": "2.4",
    "common.PlaceholderType.Int8Vector": "2.6",
    "common.PlaceholderType.SparseFloatVector": "2.4",
    "common.SegmentLevel": "2.4",
    "common.Status.ExtraInfoEntry": "2.4",
    "common.Status.extra_info": "2.4",
    "milvus.PersistentSegmentInfo.level": "2.4",
    "milvus.QueryResults.session_ts": "2.4",
    "milvus.QuerySegmentInfo.level": "2.4",
    "milvus.QuotaState.DenyToDDL": "2.5",
    "milvus.SearchResults.session_ts": "2.5",
    "schema.CollectionSchema.properties": "2.4",
    "schema.DataType.ArrayOfStruct": "2.6",
    "schema.DataType.ArrayOfVector": "2.6",
    "schema.DataType.Geometry": "2.5",
    "schema.DataType.Int8Vector": "2.6",
    "schema.DataType.SparseFloatVector": "2.4",
    "schema.DataType.Struct": "2.6",
    "schema.DataType.Text": "2.6",
    "schema.DataType.Timestamptz": "2.6",
    "schema.FieldData.valid_data": "2.5",
    "schema.FieldSchema.is_clustering_key": "2.4",
    "schema.FieldSchema.nullable": "2.5",
    "schema.SparseFloatArray": "2.4",
    "schema.VectorField.int8_vector": "2.6",
    "schema.VectorField.sparse_float_vector": "2.4",
}

Field = descriptor_pb2.FieldDescriptorProto
TYPE_NAMES = {number: name[len("TYPE_"):].lower() for name, number in Field.Type.items()}
UNPACKABLE = {Field.TYPE_STRING, Field.TYPE_BYTES, Field.TYPE_MESSAGE, Field.TYPE_GROUP}


def describe(field):
    """A field as far as the wire is concerned."""
    words = [str(field.number)]
    if field.label == Field.LABEL_REPEATED:
        words.append("repeated")
        packed = field.options.packed if field.options.HasField("packed") else True  # proto3's default
        if field.type not in UNPACKABLE and packed:
            words.append("packed")
    words.append(TYPE_NAMES[field.type])
    if field.type_name:
        words.append(field.type_name.removeprefix("." + PREFIX))
    return " ".join(words)


def flatten_enum(enum, scope):
    name = f"{scope}.{enum.name}"
    return {name: "enum"} | {f"{name}.{value.name}": str(value.number) for value in enum.value}


def flatten_message(message, scope):
    name = f"{scope}.{message.name}"
    facts = {name: "map entry" if message.options.map_entry else "message"}
    for field in message.field:
        facts[f"{name}.{field.name}"] = describe(field)
    for nested in message.nested_type:
        facts |= flatten_message(nested, name)
    for enum in message.enum_type:
        facts |= flatten_enum(enum, name)
    return facts


def flatten(files):
    """{name without the common prefix: what it is} for all that the files declare."""
    facts = {}
    for file in files:
        scope = file.package.removeprefix(PREFIX)
        facts[f"{scope} (file)"] = f"{file.syntax} package {file.package}"
        for message in file.message_type:
            facts |= flatten_message(message, scope)
        for enum in file.enum_type:
            facts |= flatten_enum(enum, scope)
    return facts


def later_than_237(name):
    """The series of releases that brought the name or what it is in, None if 2.3.7 has it."""
    return LATER.get(name) or LATER.get(name.rpartition(".")[0])


def compare(ours, theirs, release):
    """{name: complaint} for each fact of ours that the release does not confirm."""
    wrong = {}
    for name, fact in ours.items():
        different = DIFFERENT.get(name)
        later = later_than_237(name) if release == "2.3.7" else None
        if name not in theirs:
            if later is None:
                wrong[name] = f"{release} has no {name}"
        elif later is not None:
            wrong[name] = f"{release} has {name}, which LATER dates to {later}"
        elif different is not None:
            if (fact, theirs[name]) != different[:2]:
                wrong[name] = f"{name} is {fact}, in {release} {theirs[name]}, not the difference that DIFFERENT names"
        elif fact != theirs[name]:
            wrong[name] = f"{name} is {fact}, in {release} it is {theirs[name]}"
    return wrong


def shipped_files(directory):
    """The file descriptors in the generated modules of a release.

    They are read from the source, not imported: two releases would register the same names in one process,
    and the code of an old one may refuse the protobuf library of today.
    """
    for path in sorted((directory / "pymilvus" / "grpc_gen").glob("*_pb2.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "AddSerializedFile":
                yield descriptor_pb2.FileDescriptorProto.FromString(ast.literal_eval(node.args[0]))


@pytest.fixture(scope="session")
def our_set(tmp_path_factory):
    out = tmp_path_factory.mktemp("proto") / "ours.pb"
    command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={ROOT / 'proto'}", f"--descriptor_set_out={out}"]
    subprocess.run(command + list(FILES), check=True)
    return descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())


@pytest.fixture(scope="session")
def shipped():
    subprocess.run([HERE / "fetch_pymilvus.sh"], check=True, env=os.environ | {"PYTHON": sys.executable})
    return {release: list(shipped_files(ROOT / ".cache" / f"pymilvus-{release}")) for release in RELEASES}


@pytest.fixture(scope="session")
def facts(shipped):
    return {release: flatten(files) for release, files in shipped.items()}


def fields_of(files):
    """(name, field) of all fields, those of map entries apart: they are made by the compiler."""
    for file in files:
        for message in file.message_type:
            for field in message.field:
                yield f"{file.package.removeprefix(PREFIX)}.{message.name}.{field.name}", field


def enum_values_of(files):
    for file in files:
        for enum in file.enum_type:
            for value in enum.value:
                yield f"{file.package.removeprefix(PREFIX)}.{enum.name}.{value.name}", value


@pytest.mark.parametrize("release", RELEASES)
def test_agrees_with(release, our_set, facts):
    wrong = compare(flatten(our_set.file), facts[release], release)
    assert not wrong, "\n" + "\n".join(wrong.values())


def test_all_files_and_both_releases_were_read(our_set, facts):
    assert [file.name for file in our_set.file] == list(FILES)
    for release in RELEASES:  # what only the one and only the other has
        assert facts[release]["milvus.InsertRequest.num_rows"] == "7 uint32"
    assert "milvus.SearchRequest.ids" in facts["current"] and "milvus.SearchRequest.ids" not in facts["2.3.7"]


def test_exceptions_name_something_we_declare(our_set):
    assert (DIFFERENT.keys() | LATER.keys()) <= flatten(our_set.file).keys()


def test_repeated_numbers_are_packed_in_words(our_set):
    """protobuf-c does not know that proto3 packs unless told."""
    numbers = [(name, field) for name, field in fields_of(our_set.file)
               if field.label == Field.LABEL_REPEATED and field.type not in UNPACKABLE]
    assert numbers
    assert [name for name, field in numbers if not field.options.packed] == []


def message_class(files, name):
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(descriptor_pb2.DESCRIPTOR.serialized_pb)
    for file in files:
        pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


@pytest.mark.parametrize("release", RELEASES)
def test_bytes_are_the_wire_of_packed_floats(release, our_set, shipped):
    theirs = [file for name in ("common.proto", "schema.proto") for file in shipped[release] if file.name == name]
    floats = [0.0, -1.5, 3.25, 0.5]
    ours = {"dim": 2, "float_vector": {"data": struct.pack("<4f", *floats)}}
    packed = message_class(our_set.file, "milvus.proto.schema.VectorField")(**ours).SerializeToString()
    read = message_class(theirs, "milvus.proto.schema.VectorField").FromString(packed)
    assert list(read.float_vector.data) == floats
    assert read.SerializeToString() == packed


# ---- the comparison itself: every field and enum value spoilt in turn must be reported, and nothing else ----

def wrong_number(field):
    field.number += 1000


def wrong_type(field):
    field.ClearField("type_name")
    field.type = Field.TYPE_SINT64


def wrong_label(field):
    repeated = field.label == Field.LABEL_REPEATED
    field.label = Field.LABEL_OPTIONAL if repeated else Field.LABEL_REPEATED


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("spoil", [wrong_number, wrong_type, wrong_label])
def test_a_spoilt_field_is_reported(spoil, release, our_set, facts):
    missed = []
    for name, field in fields_of(our_set.file):
        if release == "2.3.7" and later_than_237(name):
            continue
        kept = Field.FromString(field.SerializeToString())
        spoil(field)
        if list(compare(flatten(our_set.file), facts[release], release)) != [name]:
            missed.append(name)
        field.CopyFrom(kept)
    assert missed == []


@pytest.mark.parametrize("release", RELEASES)
def test_a_spoilt_enum_value_is_reported(release, our_set, facts):
    missed = []
    for name, value in enum_values_of(our_set.file):
        if release == "2.3.7" and later_than_237(name):
            continue
        value.number += 7000
        if list(compare(flatten(our_set.file), facts[release], release)) != [name]:
            missed.append(name)
        value.number -= 7000
    assert missed == []


def spoilt_copy(our_set):
    copy = descriptor_pb2.FileDescriptorSet()
    copy.CopyFrom(our_set)
    return copy, {file.name: file for file in copy.file}


@pytest.mark.parametrize("release", RELEASES)
def test_invented_names_are_reported(release, our_set, facts):
    copy, files = spoilt_copy(our_set)
    files["milvus.proto"].message_type.add(name="InventedRequest")
    files["milvus.proto"].enum_type.add(name="InventedState").value.add(name="Zero", number=0)
    files["common.proto"].enum_type[0].value.add(name="InventedCode", number=4711)
    files["schema.proto"].message_type[0].field.add(name="invented", number=99, type=Field.TYPE_BOOL, label=Field.LABEL_OPTIONAL)
    assert set(compare(flatten(copy.file), facts[release], release)) == {
        "milvus.InventedRequest",
        "milvus.InventedState",
        "milvus.InventedState.Zero",
        f"common.{files['common.proto'].enum_type[0].name}.InventedCode",
        f"schema.{files['schema.proto'].message_type[0].name}.invented",
    }


@pytest.mark.parametrize("release", RELEASES)
def test_a_wrong_message_package_or_packing_is_reported(release, our_set, facts):
    copy, files = spoilt_copy(our_set)
    fields = dict(fields_of(copy.file))
    fields["milvus.SearchResults.status"].type_name = ".milvus.proto.common.KeyValuePair"
    fields["milvus.MutationResult.succ_index"].options.packed = False
    assert set(compare(flatten(copy.file), facts[release], release)) == {"milvus.SearchResults.status", "milvus.MutationResult.succ_index"}
    files["common.proto"].package = "milvus.proto.comon"
    assert "comon.Status" in compare(flatten(copy.file), facts[release], release)


def test_stale_exceptions_are_reported(our_set, facts, monkeypatch):
    ours = flatten(our_set.file)
    monkeypatch.setitem(LATER, "common.Status.code", "2.4")
    assert list(compare(ours, facts["2.3.7"], "2.3.7")) == ["common.Status.code"]
    monkeypatch.delitem(LATER, "common.Status.code")
    monkeypatch.setitem(DIFFERENT, "common.Status.code", ("3 int64", "3 int32", ""))
    assert list(compare(ours, facts["current"], "current")) == ["common.Status.code"]


def test_later_does_not_excuse_the_current_release(our_set, facts):
    name = next(iter(LATER))
    without = {key: fact for key, fact in facts["current"].items() if key != name}
    assert list(compare(flatten(our_set.file), without, "current")) == [name]
