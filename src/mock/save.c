/* The store as a file: a header, the store piece by piece in this machine's own byte order, and a checksum.
 */
#include "mock/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

static const char header[8] = "MHMOCK1\n";

/* One description of the format serves both ways: each piece is written, or read into the same place. */
struct tape {
    FILE *out; /* NULL: reading */
    const uint8_t *at, *end;
    XXH3_state_t *hash;
    bool failed;
};

static void piece(struct tape *tape, void *data, size_t bytes)
{
    if (bytes == 0 || tape->failed)
        return;
    if (tape->out) {
        XXH3_64bits_update(tape->hash, data, bytes);
        tape->failed = fwrite(data, 1, bytes, tape->out) != bytes;
    } else if ((size_t)(tape->end - tape->at) < bytes) {
        tape->failed = true;
    } else {
        memcpy(data, tape->at, bytes);
        tape->at += bytes;
    }
}

#define PIECE(tape, value) piece(tape, &(value), sizeof(value))

/* An array of `bytes`: read into memory of `room` bytes. */
static void array(struct tape *tape, void *pointer, size_t bytes, size_t room)
{
    void **data = pointer;
    if (!tape->out) {
        if (tape->failed || (size_t)(tape->end - tape->at) < bytes) {
            tape->failed = true;
            return;
        }
        *data = malloc(room ? room : 1);
        if (!*data)
            abort();
    }
    if (*data)
        piece(tape, *data, bytes);
}

static void text(struct tape *tape, char **given)
{
    uint64_t length = tape->out && *given ? strlen(*given) + 1 : 0;
    PIECE(tape, length);
    array(tape, given, length, length);
    if (!tape->out && !tape->failed && (length == 0 || (*given)[length - 1] != '\0'))
        tape->failed = true;
}

/* ---- the parts of a collection ---- */

static void *items(struct tape *tape, void *given, size_t count, size_t size)
{
    if (tape->out || tape->failed)
        return given;
    if (count > (size_t)(tape->end - tape->at)) { /* each takes a byte at least */
        tape->failed = true;
        return given;
    }
    void *fresh = calloc(count ? count : 1, size);
    if (!fresh)
        abort();
    return fresh;
}

static void field_piece(struct tape *tape, struct mh_collection *collection, size_t i)
{
    struct mh_store_field *field = &collection->fields[i];
    text(tape, &field->name);
    PIECE(tape, field->type);
    PIECE(tape, field->dim);
    PIECE(tape, field->max_length);
    PIECE(tape, field->key);
    PIECE(tape, field->width);
    array(tape, &field->cells, (size_t)collection->rows * field->width,
          (size_t)collection->rows * field->width);
    if (!tape->failed)
        collection->names[i] = (struct mh_expr_field){.name = field->name, .type = field->type};
}

static void partition_piece(struct tape *tape, struct mh_store_partition *partition)
{
    text(tape, &partition->name);
    PIECE(tape, partition->id);
    PIECE(tape, partition->created);
    PIECE(tape, partition->gone);
    PIECE(tape, partition->loaded);
    PIECE(tape, partition->written);
    PIECE(tape, partition->sealed);
}

static void index_piece(struct tape *tape, struct mh_store_index *index)
{
    text(tape, &index->name);
    text(tape, &index->field);
    text(tape, &index->type);
    text(tape, &index->metric);
    text(tape, &index->params);
    PIECE(tape, index->id);
}

static void row_pieces(struct tape *tape, struct mh_collection *collection)
{
    const size_t rows = (size_t)collection->rows;
    array(tape, &collection->born, rows * sizeof *collection->born, rows * sizeof *collection->born);
    array(tape, &collection->end, rows * sizeof *collection->end, rows * sizeof *collection->end);
    array(tape, &collection->partition, rows * sizeof *collection->partition,
          rows * sizeof *collection->partition);
    array(tape, &collection->places, collection->place_room * sizeof *collection->places,
          collection->place_room * sizeof *collection->places);
    array(tape, &collection->texts, collection->text_length, collection->text_length);
    if (!tape->out) {
        collection->room = collection->rows;
        collection->text_room = collection->text_length;
    }
}

static void collection_piece(struct tape *tape, struct mh_collection *collection)
{
    text(tape, &collection->database);
    text(tape, &collection->name);
    PIECE(tape, collection->id);
    PIECE(tape, collection->shards);
    PIECE(tape, collection->consistency);
    PIECE(tape, collection->created);
    PIECE(tape, collection->flushed);
    PIECE(tape, collection->loaded);
    PIECE(tape, collection->key);
    PIECE(tape, collection->vector);
    PIECE(tape, collection->rows);
    PIECE(tape, collection->dead);
    PIECE(tape, collection->place_room);
    PIECE(tape, collection->text_length);
    PIECE(tape, collection->field_count);
    PIECE(tape, collection->partition_count);
    PIECE(tape, collection->index_count);
    collection->fields = items(tape, collection->fields, collection->field_count, sizeof *collection->fields);
    collection->names = items(tape, collection->names, collection->field_count, sizeof *collection->names);
    collection->partitions =
        items(tape, collection->partitions, collection->partition_count, sizeof *collection->partitions);
    collection->indexes =
        items(tape, collection->indexes, collection->index_count, sizeof *collection->indexes);
    for (size_t i = 0; !tape->failed && i < collection->field_count; i++)
        field_piece(tape, collection, i);
    for (size_t i = 0; !tape->failed && i < collection->partition_count; i++)
        partition_piece(tape, &collection->partitions[i]);
    for (size_t i = 0; !tape->failed && i < collection->index_count; i++)
        index_piece(tape, &collection->indexes[i]);
    row_pieces(tape, collection);
}

static void store_piece(struct tape *tape, struct mh_store *store)
{
    PIECE(tape, store->last);
    PIECE(tape, store->next_id);
    PIECE(tape, store->no_vectors);
    PIECE(tape, store->database_count);
    store->databases = items(tape, store->databases, store->database_count, sizeof *store->databases);
    for (size_t i = 0; !tape->failed && i < store->database_count; i++)
        text(tape, &store->databases[i]);
    PIECE(tape, store->collection_count);
    store->collections = items(tape, store->collections, store->collection_count, sizeof *store->collections);
    for (size_t i = 0; !tape->failed && i < store->collection_count; i++) {
        store->collections[i] = items(tape, store->collections[i], 1, sizeof **store->collections);
        if (!tape->failed)
            collection_piece(tape, store->collections[i]);
    }
}

/* ---- both ways ---- */

static bool write_all(const struct mh_store *store, FILE *out)
{
    struct mh_store copy = *store; /* writing changes nothing */
    struct tape tape = {.out = out, .hash = XXH3_createState()};
    if (!tape.hash)
        abort();
    XXH3_64bits_reset(tape.hash);
    tape.failed = fwrite(header, 1, sizeof header, out) != sizeof header;
    store_piece(&tape, &copy);
    const uint64_t sum = XXH3_64bits_digest(tape.hash);
    XXH3_freeState(tape.hash);
    return !tape.failed && fwrite(&sum, 1, sizeof sum, out) == sizeof sum;
}

int mh_store_save(const struct mh_store *store, const char *path, struct mh_error *err)
{
    char fresh[4096];
    if (snprintf(fresh, sizeof fresh, "%s.new", path) >= (int)sizeof fresh)
        return mh_fail(err, "--data %s: the path is too long", path);
    FILE *out = fopen(fresh, "wb");
    if (!out)
        return mh_fail(err, "--data %s: cannot be written: %m", fresh);
    const bool written = write_all(store, out);
    if (fclose(out) != 0 || !written || rename(fresh, path) != 0) {
        mh_error_set(err, "--data %s: cannot be written: %m", fresh);
        unlink(fresh);
        return -1;
    }
    return 0;
}

static uint8_t *read_file(FILE *in, size_t *length)
{
    if (fseek(in, 0, SEEK_END) != 0)
        return NULL;
    const long size = ftell(in);
    uint8_t *bytes = size > 0 ? malloc((size_t)size) : NULL;
    rewind(in);
    if (bytes && fread(bytes, 1, (size_t)size, in) != (size_t)size) {
        free(bytes);
        return NULL;
    }
    *length = (size_t)size;
    return bytes;
}

static bool is_whole(const uint8_t *bytes, size_t length)
{
    uint64_t sum;
    if (length < sizeof header + sizeof sum || memcmp(bytes, header, sizeof header) != 0)
        return false;
    memcpy(&sum, bytes + length - sizeof sum, sizeof sum);
    return XXH3_64bits(bytes + sizeof header, length - sizeof header - sizeof sum) == sum;
}

int mh_store_load(struct mh_store *store, const char *path, struct mh_error *err)
{
    FILE *in = fopen(path, "rb");
    if (!in)
        return errno == ENOENT ? 0 : mh_fail(err, "--data %s: cannot be read: %m", path);
    size_t length = 0;
    uint8_t *bytes = read_file(in, &length);
    fclose(in);
    const bool no_vectors = store->no_vectors;
    struct tape tape = {.failed = !bytes || !is_whole(bytes, length)};
    if (!tape.failed) {
        tape.at = bytes + sizeof header;
        tape.end = bytes + length - sizeof(uint64_t);
        store_piece(&tape, store);
    }
    free(bytes);
    if (tape.failed)
        return mh_fail(err, "--data %s: no file of the mock, or a damaged one", path);
    return store->no_vectors == no_vectors
               ? 0
               : mh_fail(err, "--data %s: was saved %s --no-vectors; start the mock likewise", path,
                         store->no_vectors ? "with" : "without");
}
