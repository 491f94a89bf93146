/* --null: definitions are kept, rows are not. Writes are acknowledged and searches find what was never there,
 * at the least cost, so that a client can measure itself. */
#include "mock/mock.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_HITS = 16384 };

static int64_t keys_named(const char *expression)
{
    int64_t count = strchr(expression, '[') ? 1 : 0;
    for (const char *at = expression; count && (at = strchr(at, ',')); at++)
        count++;
    return count;
}

static void answer_write(struct mh_turn *turn)
{
    const struct mh_served *request = &turn->request;
    const bool deletes = request->kind == MH_OP_DELETE;
    const int64_t stored = request->column_count ? request->columns[0].rows : 0;
    turn->answer.rows = deletes ? keys_named(request->expression) : stored;
    turn->answer.timestamp = deletes ? 0 : mh_store_now(&turn->mock->store);
}

static void answer_search(struct mh_turn *turn)
{
    struct mh_answer *answer = &turn->answer;
    const char *text = mh_served_pair(&turn->request, "topk");
    const long long asked = text ? strtoll(text, NULL, 10) : 0;
    const size_t queries = turn->request.query_count;
    const size_t topk = asked < 1 || queries == 0 || (size_t)asked > MOST_HITS / queries ? 1 : (size_t)asked;
    int64_t *ids = mh_turn_get(turn, (queries * topk + 1) * sizeof *ids);
    int64_t *topks = mh_turn_get(turn, (queries + 1) * sizeof *topks);
    float *scores = mh_turn_get(turn, (queries * topk + 1) * sizeof *scores);
    for (size_t i = 0; i < queries * topk; i++) {
        ids[i] = (int64_t)(i % topk);
        scores[i] = (float)(i % topk);
    }
    for (size_t i = 0; i < queries; i++)
        topks[i] = (int64_t)topk;
    answer->ids = ids;
    answer->id_count = queries * topk;
    answer->scores = scores;
    answer->topks = topks;
    answer->topk = (int64_t)topk;
    answer->query_count = (int64_t)queries;
}

/* Of a collection that nobody made there is nothing; of others the handlers say what count and columns are.
 */
static bool is_unknown(const struct mh_turn *turn)
{
    return !mh_store_find(&turn->mock->store, turn->request.database, turn->request.collection);
}

bool mh_null_handle(struct mh_turn *turn)
{
    switch (turn->request.kind) {
    case MH_OP_INSERT:
    case MH_OP_UPSERT:
    case MH_OP_DELETE:
        answer_write(turn);
        return true;
    case MH_OP_SEARCH:
        answer_search(turn);
        return true;
    case MH_OP_QUERY:
        return is_unknown(turn);
    default:
        return false;
    }
}
