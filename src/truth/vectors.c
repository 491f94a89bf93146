/* The vectors of a sample of rows, bit by bit. */
#include "base/grow.h"
#include "base/random.h"
#include "truth/scan.h"

#include <stdlib.h>

enum { VECTOR_BYTES_A_REPLY = 4 << 20, MOST_KEYS = 1024, SAMPLE_STREAM = 0x73616d70 };

static int sample_slice(struct mh_pass *pass, int64_t at, struct mh_error *err)
{
    const struct mh_audit *audit = pass->audit;
    const struct mh_slice *slice = &audit->slices.items[at];
    const double share = audit->job->verify.vectors;
    if (mh_pass_absent(pass, slice->partition))
        return 0;
    if (mh_pass_load_fates(pass, at, err) != 0)
        return -1;
    for (int64_t i = 0; i < slice->count; i++) {
        struct mh_random draw = {
            .seed = audit->seed, .stream = SAMPLE_STREAM, .counter = (uint64_t)(slice->first + i)};
        uint16_t fate = pass->fates.fate[i];
        if (mh_expected_version(pass->fates.insert[i], fate) == MH_VERSION_NONE ||
            mh_random_unit(&draw) >= share)
            continue;
        if (!mh_grow(&pass->ids, &pass->id_room, pass->id_count, sizeof *pass->ids))
            return mh_fail(err, "out of memory for the sample of vectors");
        pass->ids[pass->id_count++] = slice->first + i;
    }
    return 0;
}

static int64_t most_a_question(const struct mh_pass *pass)
{
    int64_t row_bytes = pass->audit->content->dataset->shape.dim * (int64_t)sizeof(float);
    int64_t rows = VECTOR_BYTES_A_REPLY / row_bytes;
    return rows < 1 ? 1 : rows > MOST_KEYS ? MOST_KEYS : rows;
}

static int32_t home_of(const struct mh_pass *pass, int64_t id)
{
    const struct mh_slices *slices = &pass->audit->slices;
    return slices->items[mh_slices_find(slices, id)].partition;
}

/* A question is of one partition, so that a copy that stands elsewhere is not mistaken for the row itself. */
static int64_t end_of_question(const struct mh_pass *pass, int64_t from)
{
    const int64_t most = from + most_a_question(pass);
    const int32_t home = home_of(pass, pass->ids[from]);
    int64_t to = from + 1;
    while (to < pass->id_count && to < most && home_of(pass, pass->ids[to]) == home)
        to++;
    return to;
}

static int cut_questions(struct mh_pass *pass, struct mh_error *err)
{
    pass->question_count = 0;
    free(pass->questions);
    pass->questions = calloc((size_t)pass->id_count + 1, sizeof *pass->questions);
    if (!pass->questions)
        return mh_fail(err, "out of memory for the sample of vectors");
    for (int64_t from = 0; from < pass->id_count; from = pass->questions[pass->question_count])
        pass->questions[++pass->question_count] = end_of_question(pass, from);
    return 0;
}

static enum mh_fan_answer ask_vectors(void *context, int64_t item, struct mh_fan_slot *slot)
{
    static const char *vector_field[1];
    const struct mh_pass *pass = context;
    const int64_t from = pass->questions[item], to = pass->questions[item + 1];
    if (!mh_pass_write_keys(pass, slot, pass->ids, from, to))
        return MH_FAN_NO_MEMORY;
    vector_field[0] = mh_content_vector_name(pass->audit->content);
    mh_pass_set_query(pass, slot, home_of(pass, pass->ids[from]));
    slot->op.request.output_fields = vector_field;
    slot->op.request.output_count = 1;
    return MH_FAN_ASK;
}

/* The expected version is tried first: versions of one row, or rows, may well have equal vectors. */
static int32_t version_of_vector(const struct mh_content *content, const struct mh_column *vectors,
                                 int64_t row, int64_t id, int32_t expected)
{
    const size_t field = (size_t)content->vector_field;
    if (expected >= 0 && mh_content_matches(content, field, vectors, row, id, expected))
        return expected;
    for (int32_t version = expected + 1; version >= 0; version--)
        if (version != expected && mh_content_matches(content, field, vectors, row, id, version))
            return version;
    return MH_VERSION_UNKNOWN;
}

static int judge_vector(struct mh_pass *pass, const struct mh_column *vectors, int64_t row, int64_t id,
                        struct mh_error *err)
{
    const struct mh_content *content = pass->audit->content;
    int64_t at = mh_slices_find(&pass->audit->slices, id);
    if (at < 0 || mh_pass_load_fates(pass, at, err) != 0)
        return at < 0 ? 0 : -1;
    int64_t i = id - pass->fates.first;
    const int32_t expected = mh_expected_version(pass->fates.insert[i], pass->fates.fate[i]),
                  seen = version_of_vector(content, vectors, row, id, expected);
    struct mh_suspect found = {.id = id,
                               .partition = pass->audit->slices.items[at].partition,
                               .expected_version = expected,
                               .seen_version = seen};
    pass->audit->figures.vectors_compared++;
    int kind = mh_judge_row(pass->fates.insert[i], pass->fates.fate[i], seen);
    if (kind >= 0 && !mh_audit_is_wrong(pass->audit, id)) /* its other content has told already */
        mh_pass_condemn(pass, kind, &found, found.partition);
    return 0;
}

static bool is_listed(const int64_t *keys, int64_t rows, int64_t id)
{
    for (int64_t row = 0; row < rows; row++)
        if (keys[row] == id)
            return true;
    return false;
}

/* The scan saw the row, so it is still there; one that is already condemned is not condemned again. */
static int judge_missing(struct mh_pass *pass, int64_t id, struct mh_error *err)
{
    int64_t at = mh_slices_find(&pass->audit->slices, id);
    if (mh_pass_load_fates(pass, at, err) != 0)
        return -1;
    int64_t i = id - pass->fates.first;
    struct mh_suspect row = {.id = id,
                             .partition = pass->audit->slices.items[at].partition,
                             .expected_version =
                                 mh_expected_version(pass->fates.insert[i], pass->fates.fate[i]),
                             .seen_version = MH_VERSION_NONE};
    bool certain = pass->fates.insert[i] == MH_INSERT_ACKED &&
                   !(pass->fates.fate[i] & (MH_FATE_DELETE_UNKNOWN | MH_FATE_UPSERT_UNKNOWN));
    if (certain && !mh_audit_is_wrong(pass->audit, id))
        mh_pass_condemn(pass, MH_LOST, &row, -1);
    return 0;
}

static int take_vectors(void *context, int64_t item, const struct mh_reply *reply, struct mh_error *err)
{
    struct mh_pass *pass = context;
    const struct mh_column *vectors = mh_reply_column(reply, mh_content_vector_name(pass->audit->content));
    const int64_t *keys;
    int64_t rows;
    if (mh_pass_keys(pass, reply, &keys, &rows, err) != 0)
        return -1;
    if (rows > 0 && !vectors)
        return mh_fail(err, "a query's reply lacks the vector column");
    for (int64_t row = 0; row < rows; row++)
        if (judge_vector(pass, vectors, row, keys[row], err) != 0)
            return -1;
    for (int64_t i = pass->questions[item]; i < pass->questions[item + 1]; i++)
        if (!is_listed(keys, rows, pass->ids[i]) && judge_missing(pass, pass->ids[i], err) != 0)
            return -1;
    return 0;
}

int mh_pass_vectors(struct mh_pass *pass, struct mh_error *err)
{
    if (pass->audit->job->verify.vectors <= 0 || pass->collection_gone)
        return 0;
    pass->id_count = 0;
    for (int64_t at = 0; at < pass->audit->slices.count; at++)
        if (sample_slice(pass, at, err) != 0)
            return -1;
    if (cut_questions(pass, err) != 0)
        return -1;
    return mh_fan_run(pass->fan, pass->question_count, ask_vectors, take_vectors, pass, err);
}
