/* What the passes share: asking for rows, and what a row read back is. */
#include "base/clock.h"
#include "truth/scan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { EXPRESSION_ROOM = 256 };

static bool scalars_match(const struct mh_content *content, const struct mh_reply *reply, int64_t row,
                          int64_t id, int64_t version)
{
    for (size_t f = 0; f < content->field_count; f++) {
        if ((int)f == content->key_field || (int)f == content->vector_field)
            continue;
        const struct mh_column *column = mh_reply_column(reply, content->fields[f].name);
        if (!column || !mh_content_matches(content, f, column, row, id, version))
            return false;
    }
    return true;
}

/* Which version the scalars are; the expected one is tried first, and the only one tried when all is well. */
int32_t mh_pass_version_seen(const struct mh_content *content, const struct mh_reply *reply, int64_t row,
                             int64_t id, int32_t expected)
{
    int32_t likely = expected >= 0 ? expected : 0;
    if (scalars_match(content, reply, row, id, likely))
        return likely;
    for (int32_t version = likely + 2; version-- > 0;)
        if (version != likely && scalars_match(content, reply, row, id, version))
            return version;
    return MH_VERSION_UNKNOWN;
}

/* Some servers leave out every column of an empty reply. */
int mh_pass_keys(const struct mh_pass *pass, const struct mh_reply *reply, const int64_t **ids, int64_t *rows,
                 struct mh_error *err)
{
    const char *name = mh_content_key_name(pass->audit->content);
    const struct mh_column *keys = mh_reply_column(reply, name);
    *ids = keys ? keys->values : NULL;
    *rows = keys ? keys->rows : 0;
    if (keys ? keys->type == MH_FIELD_INT64 || keys->rows == 0 : reply->column_count == 0)
        return 0;
    return mh_fail(err, "a query's reply lacks the key column %s", name);
}

int mh_pass_load_fates(struct mh_pass *pass, int64_t at, struct mh_error *err)
{
    if (pass->loaded == at)
        return 0;
    pass->loaded = at;
    return mh_slices_fates(&pass->audit->slices, at, &pass->fates, err);
}

static int64_t since_start(const struct mh_pass *pass)
{
    return mh_now_ns() - pass->audit->start_ns;
}

void mh_pass_condemn(struct mh_pass *pass, int kind, const struct mh_suspect *suspect, int32_t seen_partition)
{
    int64_t now = since_start(pass);
    struct mh_violation violation = {.kind = kind,
                                     .expected_version = suspect->expected_version,
                                     .seen_version = suspect->seen_version,
                                     .partition = suspect->partition,
                                     .seen_partition = seen_partition,
                                     .worker = -1,
                                     .rank = -1,
                                     .kind_of_write = -1,
                                     .cycle = -1,
                                     .id = suspect->id,
                                     .first_seen_ns = now,
                                     .last_seen_ns = now,
                                     .first_pass = pass->number,
                                     .last_pass = pass->number};
    mh_audit_condemn(pass->audit, &violation);
}

bool mh_pass_absent(const struct mh_pass *pass, int32_t partition)
{
    return pass->collection_gone || pass->partition_gone[partition];
}

/* Without a limit 2.3.5 leaves out as many rows of a reply as it holds second copies of others. */
void mh_pass_set_query(const struct mh_pass *pass, struct mh_fan_slot *slot, int32_t partition)
{
    slot->op.request = (struct mh_request){.kind = MH_OP_QUERY,
                                           .collection = pass->audit->job->collection.name,
                                           .partition = partition >= 0 ? pass->partitions[partition] : NULL,
                                           .expression = slot->text,
                                           .output_fields = pass->output_fields,
                                           .output_count = pass->output_count,
                                           .limit = MH_QUERY_WINDOW,
                                           .consistency = MH_STRONG};
}

/* Where there are several proxies: the next after that of the worker that wrote the row. */
static int64_t past_writers_proxy(const struct mh_pass *pass, int64_t id)
{
    const struct mh_worker *writer = mh_plan_writer_of(pass->audit->plan, id);
    return (writer ? writer->number : pass->audit->rank) + 1;
}

static char *put_keys(char *end, const int64_t *ids, int64_t from, int64_t to)
{
    for (int64_t i = from; i < to; i++)
        end += sprintf(end, i > from ? ",%" PRId64 : "%" PRId64, ids[i]);
    return end;
}

bool mh_pass_write_keys(const struct mh_pass *pass, struct mh_fan_slot *slot, const int64_t *ids,
                        int64_t from, int64_t to)
{
    const char *key = mh_content_key_name(pass->audit->content);
    size_t room = EXPRESSION_ROOM + strlen(key) + 21 * (size_t)(to - from);
    if (!mh_fan_text(slot, room))
        return false;
    char *end = slot->text + sprintf(slot->text, "%s in [", key);
    end = put_keys(end, ids, from, to);
    memcpy(end, "]", 2);
    slot->via = past_writers_proxy(pass, ids[from]);
    return true;
}

bool mh_pass_write_range(const struct mh_pass *pass, struct mh_fan_slot *slot, int64_t first, int64_t end)
{
    const char *key = mh_content_key_name(pass->audit->content);
    size_t room = EXPRESSION_ROOM + 2 * strlen(key);
    if (!mh_fan_text(slot, room))
        return false;
    snprintf(slot->text, room, "%s >= %" PRId64 " and %s < %" PRId64, key, first, key, end);
    slot->via = past_writers_proxy(pass, first);
    return true;
}
