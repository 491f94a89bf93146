#include "truth/later.h"

#include "base/alive.h"
#include "client/steps.h"
#include "truth/ledger.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { LOOKED_AT = 100, EXPRESSION_ROOM = 320 };

/* The vector alone where no scalar tells: a server may keep it in another precision. */
static bool is_version(const struct mh_content *content, const struct mh_reply *reply, int64_t row,
                       int64_t id, int64_t version)
{
    const int left_out = mh_content_tells_version(content) ? content->vector_field : -1;
    for (size_t f = 0; f < content->field_count; f++) {
        if ((int)f == left_out)
            continue;
        const struct mh_column *column = mh_reply_column(reply, content->fields[f].name);
        if (!column || !mh_content_matches(content, f, column, row, id, version))
            return false;
    }
    return true;
}

static bool is_ours(const struct mh_content *content, const struct mh_reply *reply, int64_t row, int64_t id)
{
    mh_alive();
    for (int64_t version = 0; version <= MH_LAST_VERSION; version++)
        if (is_version(content, reply, row, id, version))
            return true;
    return false;
}

static void take(struct mh_later *later, const struct mh_content *content, const struct mh_reply *reply,
                 int64_t first)
{
    const int64_t *ids, rows = mh_content_keys(content, reply, &ids);
    for (int64_t row = 0; row < rows && !later->ours; row++) {
        if (ids[row] < first)
            continue; /* not what was asked for */
        later->any = true;
        later->id = ids[row];
        later->ours = is_ours(content, reply, row, ids[row]);
    }
}

int mh_later_look(struct mh_asker *asker, const struct mh_job *job, const struct mh_content *content,
                  int64_t first, struct mh_later *later, struct mh_error *err)
{
    char expression[EXPRESSION_ROOM];
    const struct mh_reply *reply;
    const char **names = calloc(content->field_count, sizeof *names);
    *later = (struct mh_later){0};
    if (!names)
        return mh_fail(err, "out of memory");
    for (size_t f = 0; f < content->field_count; f++)
        names[f] = content->fields[f].name;
    snprintf(expression, sizeof expression, "%.256s >= %" PRId64, mh_content_key_name(content), first);
    struct mh_request request = mh_steps_request(job, content, MH_OP_QUERY);
    request.expression = expression;
    request.output_fields = names;
    request.output_count = content->field_count;
    request.limit = LOOKED_AT;
    request.consistency = MH_STRONG;
    const int rc = mh_ask(asker, &request, &reply, err);
    if (rc == 0)
        take(later, content, reply, first);
    free(names);
    return rc;
}
