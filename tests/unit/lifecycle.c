/* The lifecycle: the order of its operations, against a server of one collection that does or does not do
 * what it says; how its cycles end; what it removes; and what it makes of answers that are wrong. */
#include "check.h"
#include "role/core.h"
#include "role/life.h"

#include "base/clock.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 20, GRACE_MS = 10000, COPIES_MOST = 3 };

/* Holds one collection: how many copies there are of each row. */
struct server {
    struct core core;
    struct mh_op *op;
    int64_t now_ns, patience_ns; /* of the last load */
    char name[300], past[300];   /* of the collection that there is; of the one before */
    bool there, partition, index;
    bool vanished;                  /* the collection, as nobody asked */
    int64_t first;                  /* id of row 0 */
    int copies[ROWS], strays[ROWS]; /* of each row, where it belongs; in the partition _default */
    bool ignores_partitions;
    bool keeps_deleted, keeps_dropped, keeps_index;
    bool nameless; /* its indexes have no state */
    bool strange;  /* texts of rows are others' */
    bool blind;    /* it leaves out the vectors that were asked for */
    bool unfiltered;
    int64_t count_off;
    bool off_as_a_whole;       /* only the count of all rows is */
    int64_t leaves_out;        /* of the hits of a query */
    float off;                 /* its first hit's score is */
    bool changes_places;       /* its first hit and its last */
    enum mh_op_kind fails;     /* MH_OP_KINDS: none */
    int left, throttled, code; /* sendings; replies among them; of what fails */
    enum mh_outcome how;
    int fail_after; /* so many of that kind go well before */
    int64_t ids[ROWS * ROWS];
    const char *texts[ROWS * COPIES_MOST];
    struct mh_scalar scalars[ROWS * COPIES_MOST];
    float vectors[ROWS * CORE_DIM];
    float scores[ROWS * ROWS];
    int64_t hits_of[ROWS];
    const char *names[2];
    int64_t count;
    char script[40000]; /* names of the operations, "+built" and "+loaded" behind those that last so long */
};

static void open_server(struct server *server, const char *role)
{
    memset(server, 0, sizeof *server);
    core_open(&server->core, role, 3);
    server->core.plan.worker_count = 5;
    server->core.role.run_tag = 0x1a2b3c4d;
    server->op = core_op(ROWS);
    server->now_ns = MH_S;
    server->fails = MH_OP_KINDS;
    server->left = 1;
}

static void close_server(struct server *server)
{
    core_free_op(server->op);
    core_close(&server->core);
}

static int64_t row_of(const struct server *server, int64_t id)
{
    assert_in_range(id - server->first, 0, ROWS - 1);
    return id - server->first;
}

static void answer_write(struct server *server, const struct mh_op *op)
{
    const bool insert = op->request.kind == MH_OP_INSERT;
    if (insert && op->rows.ids[0] % (1 << MH_CYCLE_BITS) == 0)
        server->first = op->rows.ids[0];
    for (int64_t i = 0; i < op->rows.rows; i++) {
        int *copies = &server->copies[row_of(server, op->rows.ids[i])];
        assert_int_equal(op->versions[i], 0);
        *copies = insert ? *copies + 1 : server->keeps_deleted ? *copies : 0;
    }
}

/* In the partition that the request names. */
static int copies_of(const struct server *server, const struct mh_op *op, int64_t row)
{
    const char *partition = server->ignores_partitions ? "" : op->request.partition;
    if (strcmp(partition, "_default") == 0)
        return server->strays[row];
    if (partition[0])
        assert_true(server->partition && strcmp(partition, "cycle") == 0);
    return server->copies[row] + (partition[0] ? 0 : server->strays[row]);
}

/* Rows of the expression's range, as the role writes it. */
static void range_of(const struct server *server, const char *expression, int64_t *from, int64_t *to)
{
    long long low = 0, high = 0;
    *from = 0;
    *to = ROWS;
    if (!expression || strcmp(expression, "id >= 0") == 0)
        return;
    if (sscanf(expression, "id >= %lld and id < %lld", &low, &high) == 2)
        *from = low - server->first, *to = high - server->first;
    else if (sscanf(expression, "id >= %lld", &low) == 1)
        *from = low - server->first;
    else if (sscanf(expression, "id < %lld", &high) == 1)
        *to = high - server->first;
    else
        fail_msg("%s", expression);
}

static void answer_count(struct server *server, struct mh_op *op)
{
    int64_t from, to;
    range_of(server, op->request.expression, &from, &to);
    const bool right = op->request.partition[0] || (op->request.expression && server->off_as_a_whole);
    server->count = right ? 0 : server->count_off;
    for (int64_t row = from; row < to; row++)
        server->count += copies_of(server, op, row);
    op->reply.columns[0] =
        (struct mh_column){.name = "count(*)", .type = MH_FIELD_INT64, .rows = 1, .values = &server->count};
    op->reply.column_count = 1;
}

static void answer_query(struct server *server, struct mh_op *op)
{
    enum { TEXT = 2 };
    int64_t from, to, rows = 0;
    range_of(server, server->unfiltered ? NULL : op->request.expression, &from, &to);
    for (int64_t row = from; row < to; row++) {
        if (copies_of(server, op, row) == 0)
            continue;
        server->ids[rows] = server->first + row;
        memcpy(&server->vectors[rows * CORE_DIM],
               mh_content_vector(&server->core.content, server->ids[rows], 0), CORE_DIM * sizeof(float));
        mh_content_scalar(&server->core.content, TEXT, server->ids[rows] + (server->strange && row == 0), 0,
                          &server->scalars[rows]);
        server->texts[rows] = server->scalars[rows].text;
        rows++;
    }
    op->reply.columns[0] =
        (struct mh_column){.name = "id", .type = MH_FIELD_INT64, .rows = rows, .values = server->ids};
    op->reply.columns[1] = (struct mh_column){
        .name = "varchar_field", .type = MH_FIELD_VARCHAR, .rows = rows, .values = server->texts};
    op->reply.columns[2] = (struct mh_column){.name = mh_content_vector_name(&server->core.content),
                                              .type = MH_FIELD_FLOAT_VECTOR,
                                              .dim = CORE_DIM,
                                              .rows = rows,
                                              .values = server->vectors};
    op->reply.column_count = server->blind ? 2 : op->request.output_count;
}

/* Of the row's vector: the data set's row r is r in every dimension. */
static double place_of(const struct server *server, int64_t row)
{
    return (double)((server->first + row) % CORE_ROWS);
}

/* The nearest row that is there and no hit yet; -1: none. */
static int64_t nearest_to(const struct server *server, const struct mh_op *op, double place,
                          const bool *taken)
{
    int64_t nearest = -1;
    for (int64_t row = 0; row < ROWS; row++)
        if (copies_of(server, op, row) > 0 && !taken[row] &&
            (nearest < 0 || fabs(place_of(server, row) - place) < fabs(place_of(server, nearest) - place)))
            nearest = row;
    return nearest;
}

static void spoil(struct server *server, int64_t first, int64_t last)
{
    const int64_t id = server->ids[first];
    const float score = server->scores[first];
    if (last < first)
        return;
    server->scores[first] += server->off;
    if (!server->changes_places)
        return;
    server->ids[first] = server->ids[last];
    server->scores[first] = server->scores[last];
    server->ids[last] = id;
    server->scores[last] = score;
}

static void answer_search(struct server *server, struct mh_op *op)
{
    int64_t hits = 0;
    for (int64_t q = 0; q < op->request.query_count; q++) {
        const double place = (double)op->request.queries[q * CORE_DIM];
        bool taken[ROWS] = {false};
        server->hits_of[q] = 0;
        const int64_t begin = hits;
        for (int64_t row; server->hits_of[q] < op->request.limit - server->leaves_out &&
                          (row = nearest_to(server, op, place, taken)) >= 0;
             server->hits_of[q]++) {
            taken[row] = true;
            server->ids[hits] = server->first + row;
            server->scores[hits++] = (float)(CORE_DIM * pow(place_of(server, row) - place, 2));
        }
        spoil(server, begin, hits - 1);
    }
    op->reply.hits_of = server->hits_of;
    op->reply.query_count = op->request.query_count;
    op->reply.ids = server->ids;
    op->reply.scores = server->scores;
    op->reply.hit_count = hits;
}

static void answer_list(struct server *server, struct mh_op *op)
{
    op->reply.names = server->names;
    if (op->request.kind == MH_OP_SHOW_PARTITIONS && server->partition)
        server->names[op->reply.name_count++] = "cycle";
    if (op->request.kind == MH_OP_SHOW_COLLECTIONS)
        server->names[op->reply.name_count++] = server->there && !server->vanished ? server->name : "another";
}

static void answer_definition(struct server *server, struct mh_op *op)
{
    switch (op->request.kind) {
    case MH_OP_CREATE_COLLECTION:
        strcpy(server->past, server->name);
        strcpy(server->name, op->request.collection);
        memset(server->copies, 0, sizeof server->copies);
        memset(server->strays, 0, sizeof server->strays);
        server->there = true;
        break;
    case MH_OP_DROP_COLLECTION:
        server->there = server->keeps_dropped;
        server->keeps_dropped = false;
        break;
    case MH_OP_CREATE_INDEX:
        server->index = true;
        break;
    case MH_OP_DROP_INDEX:
        server->index = server->keeps_index;
        break;
    case MH_OP_DESCRIBE_INDEX:
        assert_true(op->none_is_fine);
        op->reply.state = server->index && !server->nameless ? MH_INDEX_FINISHED : MH_INDEX_NONE;
        op->reply.described = server->index;
        break;
    case MH_OP_CREATE_PARTITION:
    case MH_OP_DROP_PARTITION:
        assert_string_equal(op->request.partition, "cycle");
        server->partition = op->request.kind == MH_OP_CREATE_PARTITION;
        break;
    default:
        break;
    }
}

static void answer(struct server *server, struct mh_op *op)
{
    assert_true(op->apart && op->partition == -1);
    if (server->there && op->request.kind != MH_OP_CREATE_COLLECTION)
        assert_string_equal(op->request.collection, server->name);
    if (mh_op_infos[op->request.kind].write)
        answer_write(server, op);
    else if (op->request.kind == MH_OP_SEARCH)
        answer_search(server, op);
    else if (op->request.kind == MH_OP_QUERY)
        op->booked_as == MH_TALLY_COUNT ? answer_count(server, op) : answer_query(server, op);
    else if (op->request.kind == MH_OP_SHOW_PARTITIONS || op->request.kind == MH_OP_SHOW_COLLECTIONS)
        answer_list(server, op);
    else
        answer_definition(server, op);
}

static bool fails_now(struct server *server, struct mh_op *op)
{
    if (server->vanished && op->request.kind != MH_OP_SHOW_COLLECTIONS &&
        op->request.kind != MH_OP_DROP_COLLECTION) {
        op->reply.code = 100;
        return true;
    }
    return op->request.kind == server->fails && server->fail_after-- <= 0;
}

static void note(struct server *server, const struct mh_op *op)
{
    if (op->until == MH_UNTIL_LOADED)
        server->patience_ns = op->patience_ns;
    static const char *const untils[] = {"", "+loaded", "+built"};
    const size_t used = strlen(server->script);
    const char *name = op->booked_as == MH_TALLY_COUNT ? "count" : mh_op_infos[op->request.kind].name;
    snprintf(server->script + used, sizeof server->script - used, "%s%s%s", used ? " " : "", name,
             untils[op->until]);
}

/* One operation, of 1 ms. */
static enum mh_next turn(struct server *server)
{
    struct mh_op *op = server->op;
    op->delay_ns = 0; /* as mh_op_release leaves it */
    op->apart = op->owed = op->none_is_fine = false;
    op->until = MH_UNTIL_REPLY;
    op->booked_as = 0;
    const enum mh_next next = server->core.role.ops->next(&server->core.role, op);
    if (next != MH_NEXT_SEND)
        return next;
    assert_int_equal(server->core.role.ops->next(&server->core.role, op), MH_NEXT_WAIT); /* one at a time */
    note(server, op);
    memset(&op->reply, 0, sizeof op->reply);
    op->due_ns = op->sent_ns = server->now_ns += op->delay_ns;
    op->done_ns = server->now_ns += MH_MS;
    op->call.request_length = 10;
    op->bytes_out = 10 * server->left;
    op->throttled = server->throttled;
    op->reply.code = server->code;
    op->outcome = fails_now(server, op) ? server->how : MH_OUTCOME_OK;
    if (op->outcome == MH_OUTCOME_OK)
        answer(server, op);
    server->core.role.ops->done(&server->core.role, op);
    return next;
}

static void play(struct server *server, int cycles)
{
    for (int i = 0; i < 5000 && server->core.cycle_count < cycles; i++)
        assert_int_equal(turn(server), MH_NEXT_SEND);
    assert_int_equal(server->core.cycle_count, cycles);
    assert_null(server->core.role.ops->owes(&server->core.role));
}

enum { MOST_TURNS = 20000 };

static void play_until(struct server *server, const char *operation)
{
    for (int i = 0; i < MOST_TURNS && !strstr(server->script, operation); i++)
        assert_int_equal(turn(server), MH_NEXT_SEND);
    assert_non_null(strstr(server->script, operation));
}

/* The first one, whatever it owes then. */
static void play_to_the_end(struct server *server)
{
    for (int i = 0; i < MOST_TURNS && server->core.cycle_count == 0; i++)
        assert_int_equal(turn(server), MH_NEXT_SEND);
    assert_int_equal(server->core.cycle_count, 1);
}

static void expect(const struct server *server, int at, enum mh_found what, int64_t row, enum mh_op_kind step)
{
    const struct mh_finding *finding = &server->core.findings[at];
    assert_true(at < server->core.finding_count);
    assert_int_equal(finding->what, what);
    assert_int_equal(finding->id, server->first + row);
    assert_int_equal(finding->step, step);
    assert_int_equal(finding->cycle, 0);
    assert_true(finding->first_ns <= finding->last_ns && finding->last_ns <= server->now_ns);
}

/* ---- the order of things ---- */

#define PLAN_TO_DELETE                                                                                       \
    "create_collection create_partition insert insert insert create_index+built load+loaded count search "   \
    "query "                                                                                                 \
    "query query count release drop_index describe_index delete delete"
#define PLAN_END "drop_partition show_partitions drop_collection show_collections"
#define LIFE     "{role: lifecycle, rows: 20, batch: 8, cycles: 2, queries: 4, topk: 2, recheck: "

static void a_cycle_is_the_plans(void **state)
{
    (void)state;
    struct server server;
    open_server(&server, LIFE "0}");
    play(&server, 1);
    assert_string_equal(server.script, PLAN_TO_DELETE " " PLAN_END);
    assert_int_equal(server.core.cycles[0].outcome, MH_OUTCOME_OK);
    assert_int_equal(server.core.cycles[0].rows, ROWS);
    assert_false(server.core.cycles[0].cut);
    assert_int_equal(server.core.cycles[0].begin_ns, MH_S);
    assert_int_equal(server.core.cycles[0].end_ns, server.now_ns);
    assert_string_equal(server.name, "things_1a2b3c4d_w0003_c0");
    play(&server, 2);
    assert_string_equal(server.name, "things_1a2b3c4d_w0003_c1");
    assert_int_equal(turn(&server), MH_NEXT_FINISHED);
    assert_int_equal(server.core.finding_count, 0);
    close_server(&server);
}

static void a_recheck_reads_what_is_left(void **state)
{
    (void)state;
    struct server server;
    open_server(&server, LIFE "1}");
    play(&server, 1);
    assert_string_equal(
        server.script, PLAN_TO_DELETE
        " create_index+built load+loaded count query query query release drop_index " PLAN_END);
    assert_int_equal(server.core.finding_count, 0);
    close_server(&server);
}

static void no_two_cycles_share_an_id(void **state)
{
    (void)state;
    const struct mh_plan plan = {.worker_count = 7};
    int64_t last = MH_PLAN_MOST_IDS - 1;
    for (int64_t cycle = 0; cycle < 3; cycle++)
        for (int64_t number = 0; number < plan.worker_count; number++) {
            const struct mh_worker worker = {.number = number};
            const struct mh_role role = {.plan = &plan, .worker = &worker};
            assert_true(mh_cycle_first_id(&role, cycle) > last);
            last = mh_cycle_first_id(&role, cycle) + MH_CYCLE_ID_WHOLE;
            assert_true(MH_CYCLE_MOST_ROWS <= MH_CYCLE_ID_INDEX);
        }
}

/* ---- steps that fail ---- */

static void a_failed_step_ends_its_cycle(void **state)
{
    (void)state;
    static const struct {
        enum mh_op_kind kind;
        int after; /* so many of them go well */
        const char *why;
    } cases[] = {{MH_OP_CREATE_COLLECTION, 0, "create_collection"},
                 {MH_OP_CREATE_PARTITION, 0, "create_partition"},
                 {MH_OP_INSERT, 1, "insert"},
                 {MH_OP_CREATE_INDEX, 0, "create_index"},
                 {MH_OP_LOAD, 0, "load"},
                 {MH_OP_QUERY, 0, "count"},
                 {MH_OP_SEARCH, 0, "search"},
                 {MH_OP_QUERY, 1, "query"},
                 {MH_OP_RELEASE, 0, "release"},
                 {MH_OP_DROP_INDEX, 0, "drop_index"},
                 {MH_OP_DELETE, 0, "delete"},
                 {MH_OP_DROP_PARTITION, 0, "drop_partition"},
                 {MH_OP_SHOW_PARTITIONS, 0, "show_partitions"},
                 {MH_OP_SHOW_COLLECTIONS, 0, "show_collections"}};
    static const enum mh_outcome ends[] = {MH_OUTCOME_FAILED, MH_OUTCOME_THROTTLED};
    for (size_t i = 0; i < COUNT(cases); i++)
        for (size_t e = 0; e < COUNT(ends); e++) {
            struct server server;
            char why[64];
            open_server(&server, LIFE "0}");
            server.fails = cases[i].kind;
            server.how = ends[e];
            server.fail_after = cases[i].after;
            for (int n = 0; n < MOST_TURNS && server.core.cycle_count == 0 && turn(&server) == MH_NEXT_SEND;
                 n++)
                if (server.fail_after < 0)
                    server.fails = MH_OP_KINDS;
            snprintf(why, sizeof why, "ended by the step %s", cases[i].why);
            assert_int_equal(server.core.cycles[0].outcome, MH_OUTCOME_FAILED);
            assert_string_equal(server.core.whys[0], why);
            assert_int_equal(server.core.cycles[0].rows,
                             cases[i].kind == MH_OP_INSERT ? 8 : server.core.cycles[0].rows);
            const char *end = cases[i].kind == MH_OP_SHOW_COLLECTIONS
                                  ? "drop_collection show_collections show_collections"
                              : cases[i].kind == MH_OP_CREATE_COLLECTION ? "create_collection drop_collection"
                                                                         : "drop_collection show_collections";
            assert_string_equal(server.script + strlen(server.script) - strlen(end), end);
            assert_false(server.core.cycles[0].left);
            assert_int_equal(server.core.finding_count, 0);
            play(&server, 2); /* and the next one is whole */
            assert_int_equal(server.core.cycles[1].outcome, MH_OUTCOME_OK);
            close_server(&server);
        }
}

/* The creation had no known outcome, and was done behind the drop. */
static void a_collection_that_comes_behind_its_drop_is_nobodys_fault(void **state)
{
    (void)state;
    struct server server;
    open_server(&server, LIFE "0}");
    server.fails = MH_OP_CREATE_COLLECTION;
    server.how = MH_OUTCOME_FAILED;
    assert_int_equal(turn(&server), MH_NEXT_SEND);
    strcpy(server.name, server.op->request.collection);
    server.keeps_dropped = true;
    server.fails = MH_OP_KINDS;
    play(&server, 1);
    assert_int_equal(server.core.finding_count, 0);
    assert_false(server.core.cycles[0].contradicted);
    close_server(&server);
}

static void a_drop_is_tried_again(void **state)
{
    (void)state;
    struct server server;
    open_server(&server, LIFE "0}");
    server.fails = MH_OP_DROP_COLLECTION;
    server.how = MH_OUTCOME_FAILED;
    const int64_t begin_ns = server.now_ns;
    play(&server, 1); /* never works */
    assert_int_equal(server.core.cycles[0].outcome, MH_OUTCOME_FAILED);
    assert_true(server.op->owed);
    assert_in_range(server.now_ns - begin_ns, 9 * MH_S, 12 * MH_S); /* a second between two tries */
    assert_true(server.core.cycles[0].left);
    server.fails = MH_OP_KINDS;
    play(&server, 2);
    assert_false(server.core.cycles[1].left);
    assert_string_not_equal(server.name, server.past);
    close_server(&server);
}

/* ---- writes in doubt ---- */

static void rows_in_doubt_may_be_there_or_not(void **state)
{
    (void)state;
    for (int there = 0; there <= 2; there++) {
        struct server server;
        open_server(&server, LIFE "1}");
        server.fails = MH_OP_INSERT;
        server.how = MH_OUTCOME_UNKNOWN;
        server.fail_after = 1; /* the second batch */
        while (!strstr(server.script, "insert insert insert")) {
            turn(&server);
            server.fails = server.fail_after < 0 ? MH_OP_KINDS : MH_OP_INSERT;
        }
        for (int row = 8; row < 16; row++)
            server.copies[row] = there;
        play(&server, 1);
        assert_int_equal(server.core.cycles[0].outcome, MH_OUTCOME_FAILED); /* it was not whole */
        assert_string_equal(server.core.whys[0], "ended by the step insert");
        assert_int_equal(server.core.cycles[0].rows, 12);
        assert_non_null(strstr(server.script, "drop_partition")); /* it went on all the same */
        assert_int_equal(server.core.finding_count > 0, there == 2);
        for (int i = 0; i < server.core.finding_count; i++)
            assert_int_equal(server.core.findings[i].what, MH_FOUND_DUPLICATED);
        close_server(&server);
    }
}

#define IN_DOUBT "{role: lifecycle, rows: 20, batch: 8, recheck: 0, queries: 4, topk: 2, steps: "

/* The insert of rows 8 .. 15, or the delete of rows 0 .. 7, has no known outcome. */
static void open_in_doubt(struct server *server, const char *role, enum mh_op_kind kind, const char *until)
{
    open_server(server, role);
    server->fails = kind;
    server->how = MH_OUTCOME_UNKNOWN;
    server->fail_after = kind == MH_OP_INSERT;
    for (int i = 0; i < MOST_TURNS && !strstr(server->script, until); i++) {
        turn(server);
        server->fails = server->fail_after < 0 ? MH_OP_KINDS : kind;
    }
}

/* A count(*) allows for rows in doubt: those that are not there leave room for copies of others. */
static void copies_do_not_hide_behind_rows_in_doubt(void **state)
{
    (void)state;
    struct server server;
    open_in_doubt(&server, LIFE "0}", MH_OP_INSERT, "insert insert insert");
    server.copies[1] = server.copies[3] = server.copies[17] = 2;
    play_until(&server, "query");
    const int64_t begin_ns = server.now_ns;
    play(&server, 1);
    assert_int_equal(server.core.finding_count, 3);
    static const int rows[] = {1, 3, 17};
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct mh_finding *finding = &server.core.findings[i];
        assert_int_equal(finding->what, MH_FOUND_DUPLICATED);
        assert_int_equal(finding->id - server.first, rows[i]);
        assert_int_equal(finding->seen, 2);
        assert_true(finding->last_ns - finding->first_ns >= GRACE_MS * MH_MS);
    }
    assert_true(server.now_ns - begin_ns >= GRACE_MS * MH_MS);
    close_server(&server);
}

static bool is_range_count(const struct mh_op *op)
{
    return op->booked_as == MH_TALLY_COUNT && op->request.expression;
}

/* Nor do those that land meanwhile: before they are found one by one, or after. */
static void rows_in_doubt_that_land_late_are_no_copies(void **state)
{
    (void)state;
    for (int seen = 0; seen <= 1; seen++) {
        struct server server;
        open_in_doubt(&server, LIFE "0}", MH_OP_INSERT, "insert insert insert");
        server.copies[1] = 2;
        const int64_t wanted = server.now_ns + GRACE_MS * MH_MS;
        for (int n = 0; n < MOST_TURNS && !is_range_count(server.op); n++)
            turn(&server);
        assert_true(server.now_ns >= wanted);
        for (int row = 8; row < 16; row++)
            server.copies[row] = seen;
        play(&server, 1);
        assert_int_equal(server.core.finding_count, 1);
        assert_int_equal(server.core.findings[0].what, MH_FOUND_DUPLICATED);
        assert_int_equal(server.core.findings[0].id, server.first + 1);
        close_server(&server);
    }
}

/* Between a count(*) and the query behind it: then both are asked for once more. */
static void writes_in_doubt_that_land_in_between_are_no_violation(void **state)
{
    (void)state;
    static const struct {
        enum mh_op_kind kind;
        const char *steps, *until, *then;
    } cases[] = {{MH_OP_INSERT, "[create_collection, insert, create_index, load, query]}",
                  "load+loaded count", "count query query query drop_collection"},
                 {MH_OP_DELETE, "[create_collection, insert, create_index, load, delete, query]}",
                  "delete delete count", "count query query query count query query query drop_collection"}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct server server;
        char role[300];
        const bool lands = cases[i].kind == MH_OP_INSERT;
        snprintf(role, sizeof role, IN_DOUBT "%s", cases[i].steps);
        open_in_doubt(&server, role, cases[i].kind, cases[i].until);
        server.core.job->verify.grace_ns = 0;
        const int64_t first = lands ? 8 : ((struct mh_life *)server.core.role.state)->delete_from;
        for (int64_t row = first; row < first + 8; row++)
            server.copies[row] = lands;
        play(&server, 1);
        assert_int_equal(server.core.finding_count, 0);
        assert_non_null(strstr(server.script, cases[i].then));
        assert_int_equal(server.core.cycles[0].contradicted, false);
        close_server(&server);
    }
}

/* Where the two cannot be asked for again, the inquest does so, and finds nothing that was late. */
static void what_an_inquest_bears_out_was_not_late(void **state)
{
    (void)state;
    struct server server;
    open_in_doubt(&server, IN_DOUBT "[create_collection, insert, create_index, load, delete, query]}",
                  MH_OP_DELETE, "delete delete count");
    const int64_t first = ((struct mh_life *)server.core.role.state)->delete_from;
    for (int64_t row = first; row < first + 8; row++)
        server.copies[row] = 0;
    play_until(&server, "delete delete count query query query");
    server.fails = MH_OP_QUERY;
    server.how = MH_OUTCOME_FAILED;
    assert_int_equal(turn(&server), MH_NEXT_SEND);
    server.fails = MH_OP_KINDS;
    play(&server, 1);
    assert_non_null(strstr(server.script, "query query query count show_collections"));
    assert_int_equal(server.core.finding_count, 0);
    assert_false(server.core.cycles[0].contradicted);
    close_server(&server);
}

/* Nor does it where there is room for it, and whether counts of ranges are as wrong or not. */
static void a_count_with_room_for_rows_in_doubt_that_nothing_explains_is_miscounted(void **state)
{
    (void)state;
    for (int as_a_whole = 0; as_a_whole <= 1; as_a_whole++) {
        struct server server;
        open_in_doubt(&server, LIFE "0}", MH_OP_INSERT, "insert insert insert");
        server.count_off = 3;
        server.off_as_a_whole = as_a_whole;
        play(&server, 1);
        assert_int_equal(server.core.finding_count, 1);
        expect(&server, 0, MH_FOUND_MISCOUNTED, 0, MH_OP_QUERY);
        assert_int_equal(server.core.findings[0].expected, 12);
        assert_int_equal(server.core.findings[0].seen, 15);
        close_server(&server);
    }
}

/* Whichever of the two is not answered, and however it ends. */
static void a_count_that_no_query_bears_out_is_not_passed_over(void **state)
{
    (void)state;
    for (int stopped = 0; stopped <= 1; stopped++) {
        struct server server;
        open_in_doubt(&server, LIFE "0}", MH_OP_INSERT, "insert insert insert");
        server.copies[1] = 2;
        play_until(&server, "query query query count");
        server.core.role.ending = stopped;
        server.fails = stopped ? MH_OP_KINDS : MH_OP_QUERY;
        server.how = MH_OUTCOME_FAILED;
        play_to_the_end(&server);
        assert_true(server.core.cycles[0].contradicted);
        assert_int_equal(server.core.cycles[0].outcome, MH_OUTCOME_UNKNOWN);
        close_server(&server);
    }
}

/* ---- the end ---- */

static void a_stop_removes_what_there_is(void **state)
{
    (void)state;
    for (int operations = 0; operations < 22; operations++) { /* the last is the drop */
        struct server server;
        open_server(&server, LIFE "0}");
        for (int i = 0; i < operations; i++)
            turn(&server);
        const int left = operations == 0 ? 0 : server.there ? 2 : 1;
        server.core.role.ending = true;
        for (int i = 0; i < left; i++) {
            assert_int_equal(turn(&server), MH_NEXT_SEND);
            assert_true(server.op->owed);
        }
        if (operations > 0)
            assert_non_null(strstr(server.script, "drop_collection show_collections"));
        assert_int_equal(turn(&server), MH_NEXT_FINISHED);
        assert_false(server.there);
        assert_int_equal(server.core.cycle_count, operations > 0);
        assert_int_equal(operations > 0 && !server.core.cycles[0].cut, 0);
        assert_null(server.core.role.ops->owes(&server.core.role));
        close_server(&server);
    }
}

static void it_is_cut_by_what_a_stop_breaks(void **state)
{
    (void)state;
    struct server server;
    open_server(&server, LIFE "0}");
    play_until(&server, "create_index");
    assert_non_null(server.core.role.ops->owes(&server.core.role));
    server.core.role.ending = true;
    server.op->delay_ns = 0;
    turn(&server);
    turn(&server);
    assert_true(server.core.cycles[0].cut);
    close_server(&server);
}

/* Of a cycle that broke, or that a stop cut: a drop that was acknowledged is one that was done. */
static void a_drop_by_the_way_is_looked_at(void **state)
{
    (void)state;
    for (int stopped = 0; stopped <= 1; stopped++) {
        struct server server;
        open_server(&server, LIFE "0}");
        play_until(&server, "create_index");
        server.keeps_dropped = true;
        server.core.role.ending = stopped;
        server.fails = stopped ? MH_OP_KINDS : MH_OP_LOAD;
        server.how = MH_OUTCOME_FAILED;
        play_until(&server, "drop_collection");
        const int64_t begin_ns = server.now_ns;
        play_to_the_end(&server);
        assert_true(server.op->owed);
        assert_true(server.now_ns - begin_ns >= GRACE_MS * MH_MS);
        assert_int_equal(server.core.finding_count, 1);
        assert_int_equal(server.core.findings[0].what, MH_FOUND_NOT_DROPPED);
        assert_int_equal(server.core.findings[0].id, server.first + MH_CYCLE_ID_WHOLE);
        assert_int_equal(server.core.findings[0].step, MH_OP_SHOW_COLLECTIONS);
        assert_false(server.there || server.core.cycles[0].left); /* dropped once more, and seen to be gone */
        assert_int_equal(server.core.cycles[0].contradicted, false);
        assert_int_equal(server.core.cycles[0].cut, stopped);
        close_server(&server);
    }
}

static void a_drop_that_is_done_late_is_late(void **state)
{
    (void)state;
    struct server server;
    open_server(&server, LIFE "0}");
    server.fails = MH_OP_LOAD;
    server.how = MH_OUTCOME_FAILED;
    play_until(&server, "load");
    server.keeps_dropped = true;
    play_until(&server, "drop_collection show_collections show_collections");
    server.there = false;
    play(&server, 1);
    assert_int_equal(server.core.finding_count, 1);
    assert_int_equal(server.core.findings[0].what, MH_FOUND_LATE);
    assert_false(server.core.cycles[0].left);
    close_server(&server);
}

/* No listing comes: nobody knows whether it is gone. */
static void a_drop_that_nobody_saw_done_may_have_left_it(void **state)
{
    (void)state;
    struct server server;
    open_server(&server, LIFE "0}");
    play_until(&server, "drop_collection");
    server.fails = MH_OP_SHOW_COLLECTIONS;
    server.how = MH_OUTCOME_FAILED;
    const int64_t begin_ns = server.now_ns;
    play(&server, 1);
    assert_in_range(server.now_ns - begin_ns, 8 * MH_S, 12 * MH_S); /* a second between two tries */
    assert_true(server.core.cycles[0].left);
    assert_false(server.core.cycles[0].contradicted);
    assert_string_equal(server.core.whys[0], "ended by the step show_collections");
    close_server(&server);
}

/* It is never done, and the stage ends before verify.grace does. */
static void a_drop_that_a_stop_leaves_undone_is_open(void **state)
{
    (void)state;
    struct server server;
    open_server(&server, LIFE "0}");
    play_until(&server, "create_index");
    server.keeps_dropped = server.core.role.ending = true;
    for (int i = 0; i < 5; i++)
        turn(&server);
    server.core.role.ops->leave(&server.core.role);
    assert_true(server.core.cycles[0].contradicted && server.core.cycles[0].left);
    assert_int_equal(server.core.cycles[0].outcome, MH_OUTCOME_UNKNOWN);
    assert_string_equal(server.core.whys[0], "stopped while the step show_collections was contradicted");
    close_server(&server);
}

/* ---- what is wrong ---- */

static void lost_rows_are_named_after_the_grace(void **state)
{
    (void)state;
    struct server server;
    open_server(&server, LIFE "0}");
    play_until(&server, "load");
    server.copies[3] = server.copies[17] = 0;
    const int64_t begin_ns = server.now_ns;
    play_until(&server, "query");
    assert_true(server.now_ns - begin_ns >= GRACE_MS * MH_MS);
    play(&server, 1);
    expect(&server, 0, MH_FOUND_LOST, 3, MH_OP_QUERY);
    expect(&server, 1, MH_FOUND_LOST, 17, MH_OP_QUERY);
    assert_int_equal(server.core.findings[0].expected, 0);
    assert_int_equal(server.core.findings[0].seen, MH_SIGHT_ABSENT);
    for (int i = 0; i < server.core.finding_count; i++) /* later steps see it again, and say nothing else */
        assert_true(server.core.findings[i].what == MH_FOUND_LOST ||
                    server.core.findings[i].what == MH_FOUND_MISSED);
    assert_int_equal(server.core.cycles[0].outcome, MH_OUTCOME_OK); /* broken is something else */
    close_server(&server);
}

static void rows_in_another_partition_are_misplaced(void **state)
{
    (void)state;
    struct server server;
    open_server(&server, LIFE "0}");
    play_until(&server, "load");
    server.copies[3] = server.copies[5] = server.copies[17] = 0;
    server.strays[3] = server.strays[17] = 1;
    const int64_t begin_ns = server.now_ns;
    play_until(&server, "query");
    play(&server, 1);
    assert_true(server.now_ns - begin_ns >= GRACE_MS * MH_MS);
    bool misplaced[ROWS] = {false}, lost[ROWS] = {false}; /* by query and count, and lost ones by two looks */
    for (int i = 0; i < server.core.finding_count; i++) {
        const struct mh_finding *finding = &server.core.findings[i];
        if (finding->what == MH_FOUND_MISPLACED)
            misplaced[row_of(&server, finding->id)] = true;
        else if (finding->what == MH_FOUND_LOST)
            lost[row_of(&server, finding->id)] = true;
        else
            assert_int_equal(finding->what, MH_FOUND_MISSED); /* by the search, which comes first */
    }
    for (int row = 0; row < ROWS; row++) {
        assert_int_equal(misplaced[row], row == 3 || row == 17);
        assert_int_equal(lost[row], row == 5);
    }
    assert_int_equal(server.core.cycles[0].outcome, MH_OUTCOME_OK);
    close_server(&server);
}

/* The look for it everywhere proves nothing by itself. */
static void a_row_that_comes_home_while_it_is_sought_is_late(void **state)
{
    (void)state;
    struct server server;
    open_server(&server,
                "{role: lifecycle, rows: 20, recheck: 0, steps: [create_collection, create_partition, "
                "insert, create_index, load, query]}");
    play_until(&server, "load+loaded count");
    server.copies[3] = 0;
    server.strays[3] = 1;
    while (server.op->request.kind != MH_OP_QUERY || server.op->booked_as || server.op->request.partition[0])
        assert_int_equal(turn(&server), MH_NEXT_SEND);
    server.copies[3] = 1;
    server.strays[3] = 0;
    play(&server, 1);
    assert_int_equal(server.core.finding_count, 1);
    expect(&server, 0, MH_FOUND_LATE, 0, MH_OP_QUERY);
    close_server(&server);
}

/* By a server with rows in both, and by one that shows them in both: there, too, is not where they belong. */
static void rows_in_both_partitions_are_duplicated(void **state)
{
    (void)state;
    for (int shown = 0; shown <= 1; shown++) {
        struct server server;
        open_server(&server, LIFE "0}");
        play_until(&server, "load");
        server.ignores_partitions = shown;
        for (int row = 0; !shown && row < ROWS; row++)
            server.strays[row] = 1;
        play(&server, 1);
        bool doubled[ROWS] = {false};
        for (int i = 0; i < server.core.finding_count; i++) {
            assert_int_equal(server.core.findings[i].what, MH_FOUND_DUPLICATED);
            doubled[row_of(&server, server.core.findings[i].id)] = true;
        }
        for (int row = 0; row < ROWS; row++)
            assert_true(doubled[row]);
        close_server(&server);
    }
}

static void what_is_elsewhere_is_judged_row_by_row(void **state)
{
    (void)state;
    struct server server;
    open_server(&server, LIFE "0}");
    server.fails = MH_OP_INSERT;
    server.how = MH_OUTCOME_FAILED;
    server.fail_after = 2; /* the rows of the third batch were refused */
    play_until(&server, "insert insert insert");
    server.fails = MH_OP_KINDS;
    server.strays[1] = server.strays[18] = 1;
    server.copies[1] = 0;
    play_until(&server, "query");
    play(&server, 1);
    assert_int_equal(server.core.findings[server.core.finding_count - 2].what, MH_FOUND_MISPLACED);
    assert_int_equal(server.core.findings[server.core.finding_count - 2].id, server.first + 1);
    assert_int_equal(server.core.findings[server.core.finding_count - 1].what, MH_FOUND_UNEXPECTED);
    assert_int_equal(server.core.findings[server.core.finding_count - 1].id, server.first + 18);
    close_server(&server);
}

/* ---- what a broken cycle had ---- */

static void expect_lost(const struct server *server, int rows, enum mh_op_kind step)
{
    int lost = 0;
    bool is_lost[ROWS] = {false}; /* by count and query: some twice */
    for (int i = 0; i < server->core.finding_count; i++) {
        bool *row = &is_lost[row_of(server, server->core.findings[i].id)];
        lost += !*row;
        *row = true;
        assert_int_equal(server->core.findings[i].what, MH_FOUND_LOST);
        assert_int_equal(server->core.findings[i].step, step);
        assert_int_equal(server->core.findings[i].seen, MH_SIGHT_ABSENT);
    }
    assert_int_equal(lost, rows);
}

/* Whichever step meets it: all that was acknowledged and is not deleted by then. */
static void a_collection_that_vanishes_loses_its_rows(void **state)
{
    (void)state;
    static const struct {
        const char *after;
        int rows;
    } cases[] = {{"insert insert insert", 20},
                 {"create_index", 20},
                 {"load", 20},
                 {"count search", 20},
                 {"query", 20},
                 {"describe_index", 20},
                 {"delete", 12},
                 {"delete delete", 10}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct server server;
        open_server(&server, LIFE "0}");
        play_until(&server, cases[i].after);
        server.vanished = true;
        server.how = MH_OUTCOME_FAILED;
        const int64_t begin_ns = server.now_ns;
        play(&server, 1);
        expect_lost(&server, cases[i].rows, MH_OP_SHOW_COLLECTIONS);
        assert_true(server.now_ns - begin_ns >= GRACE_MS * MH_MS);
        assert_int_equal(server.core.cycles[0].outcome, MH_OUTCOME_FAILED); /* looked at */
        assert_string_equal(strrchr(server.script, ' '), " show_collections");
        close_server(&server);
    }
}

static void a_collection_that_comes_back_is_late(void **state)
{
    (void)state;
    struct server server;
    open_server(&server, LIFE "0}");
    play_until(&server, "create_index");
    server.vanished = true;
    server.how = MH_OUTCOME_FAILED;
    play_until(&server, "load+loaded show_collections show_collections");
    assert_int_equal(server.op->delay_ns, 50 * MH_MS);
    server.vanished = false;
    play(&server, 1);
    assert_int_equal(server.core.finding_count, 1);
    expect(&server, 0, MH_FOUND_LATE, 0, MH_OP_SHOW_COLLECTIONS);
    assert_non_null(strstr(
        server.script,
        "show_collections show_partitions describe_index create_index+built load+loaded count query query "
        "query count drop_collection show_collections"));
    assert_int_equal(server.core.cycles[0].outcome, MH_OUTCOME_FAILED);
    close_server(&server);
}

static void rows_of_a_broken_cycle_are_looked_at(void **state)
{
    (void)state;
    struct server server;
    open_server(&server, LIFE "0}");
    play_until(&server, "release");
    server.copies[3] = server.copies[17] = 0;
    server.fails = MH_OP_DROP_INDEX;
    server.how = MH_OUTCOME_FAILED;
    play_until(&server, "drop_index");
    server.fails = MH_OP_KINDS;
    play(&server, 1);
    expect_lost(&server, 2, MH_OP_QUERY);
    assert_string_equal(server.core.whys[0], "ended by the step drop_index");
    close_server(&server);
}

/* An acknowledged partition, or index, that no drop was sent of: where it is missing, its cycle breaks, and
 * an inquest says why. */
static void what_was_made_and_not_dropped_is_there(void **state)
{
    (void)state;
    static const struct {
        bool partition;
        const char *after;
        enum mh_op_kind breaks, seen_by;
        int64_t id;
    } cases[] = {{true, "create_partition", MH_OP_INSERT, MH_OP_SHOW_PARTITIONS, MH_CYCLE_ID_PARTITION},
                 {false, "create_index", MH_OP_LOAD, MH_OP_DESCRIBE_INDEX, MH_CYCLE_ID_INDEX}};
    for (size_t i = 0; i < COUNT(cases); i++)
        for (int returns = 0; returns <= 1; returns++) {
            struct server server;
            open_server(&server, LIFE "0}");
            play_until(&server, cases[i].after);
            bool *thing = cases[i].partition ? &server.partition : &server.index;
            *thing = false;
            server.fails = cases[i].breaks;
            server.how = MH_OUTCOME_FAILED;
            for (int n = 0; n < MOST_TURNS && server.op->request.kind != cases[i].seen_by; n++)
                assert_int_equal(turn(&server), MH_NEXT_SEND);
            server.fails = MH_OP_KINDS;
            *thing = returns;
            play(&server, 1);
            assert_int_equal(server.core.finding_count, 1);
            const struct mh_finding *finding = &server.core.findings[0];
            assert_int_equal(finding->what, returns ? MH_FOUND_LATE : MH_FOUND_LOST);
            assert_int_equal(finding->id & ((1 << MH_CYCLE_BITS) - 1), returns ? 0 : cases[i].id);
            assert_int_equal(finding->step, cases[i].seen_by);
            assert_true(returns || finding->last_ns - finding->first_ns >= GRACE_MS * MH_MS);
            assert_int_equal(server.core.cycles[0].outcome, MH_OUTCOME_FAILED);
            close_server(&server);
        }
}

/* Not by a cycle that has dropped it, or may have. */
static void what_may_have_been_dropped_is_not_owed(void **state)
{
    (void)state;
    static const enum mh_op_kind drops[] = {MH_OP_DROP_INDEX, MH_OP_DROP_PARTITION};
    for (size_t i = 0; i < COUNT(drops); i++) {
        struct server server;
        open_server(&server, LIFE "0}");
        server.fails = drops[i];
        server.how = MH_OUTCOME_FAILED;
        server.code = 65535;
        play_until(&server, mh_op_infos[drops[i]].name);
        server.index = drops[i] != MH_OP_DROP_INDEX && server.index;
        server.partition = drops[i] != MH_OP_DROP_PARTITION;
        server.fails = MH_OP_KINDS;
        play(&server, 1);
        assert_int_equal(server.core.finding_count, 0);
        assert_int_equal(server.core.cycles[0].outcome, MH_OUTCOME_FAILED);
        close_server(&server);
    }
}

/* Behind the inquest's create_index, which had nothing to do. */
static void a_drop_of_the_index_may_come_late(void **state)
{
    (void)state;
    struct server server;
    open_server(&server, LIFE "0}");
    server.fails = MH_OP_DROP_INDEX;
    server.how = MH_OUTCOME_FAILED;
    play_until(&server, "drop_index");
    server.fails = MH_OP_LOAD;
    for (int n = 0; n < MOST_TURNS && server.op->request.kind != MH_OP_LOAD; n++)
        assert_int_equal(turn(&server), MH_NEXT_SEND);
    server.index = false;
    server.fails = MH_OP_KINDS;
    play(&server, 1);
    assert_non_null(strstr(server.script, "create_index+built load+loaded show_collections"));
    assert_int_equal(server.core.finding_count, 0);
    assert_false(server.core.cycles[0].contradicted);
    close_server(&server);
}

/* A collection, or rows, of which nothing was acknowledged may be there or not; but one that was made and
 * has lost no row for certain is lost itself. */
static void what_is_in_doubt_is_not_owed(void **state)
{
    (void)state;
    static const struct {
        enum mh_op_kind fails;
        enum mh_outcome how;
        bool lost;
    } cases[] = {{MH_OP_CREATE_COLLECTION, MH_OUTCOME_FAILED, false},
                 {MH_OP_CREATE_PARTITION, MH_OUTCOME_FAILED, true},
                 {MH_OP_INSERT, MH_OUTCOME_FAILED, true},
                 {MH_OP_INSERT, MH_OUTCOME_UNKNOWN, true},
                 {MH_OP_DROP_COLLECTION, MH_OUTCOME_FAILED, false}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct server server;
        open_server(&server, LIFE "0}");
        server.fails = cases[i].fails;
        server.how = cases[i].how;
        play_until(&server, mh_op_infos[cases[i].fails].name);
        server.vanished = true;
        server.fails = MH_OP_DROP_COLLECTION;
        server.how = MH_OUTCOME_FAILED;
        play(&server, 1);
        assert_int_equal(server.core.finding_count, cases[i].lost);
        assert_int_equal(strstr(server.script, "show_collections") != NULL, cases[i].lost);
        if (cases[i].lost)
            assert_int_equal(server.core.findings[0].id & ((1 << MH_CYCLE_BITS) - 1), MH_CYCLE_ID_WHOLE);
        assert_int_equal(server.core.cycles[0].outcome, MH_OUTCOME_FAILED);
        close_server(&server);
    }
}

/* Unless the server says, of the only one that it may have done, that there is no such collection. That there
 * is no such partition proves neither. */
static void a_failed_drop_may_have_taken_the_rows(void **state)
{
    (void)state;
    static const struct {
        int left, throttled, code, lost;
    } cases[] = {{0, 0, 0, 10},  {1, 0, 65535, 0}, {2, 0, 200, 0},
                 {1, 0, 200, 0}, {3, 2, 100, 10},  {2, 2, 8, 10}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct server server;
        open_server(&server, LIFE "0}");
        server.fails = MH_OP_DROP_PARTITION;
        server.how = MH_OUTCOME_FAILED;
        server.left = cases[i].left;
        server.throttled = cases[i].throttled;
        server.code = cases[i].code;
        play_until(&server, "drop_partition");
        memset(server.copies, 0, sizeof server.copies);
        play(&server, 1);
        expect_lost(&server, cases[i].lost, MH_OP_QUERY);
        const bool missing = cases[i].left == 1 && cases[i].code == 200;
        assert_int_equal(server.core.cycles[0].outcome, missing ? MH_OUTCOME_UNKNOWN : MH_OUTCOME_FAILED);
        assert_int_equal(server.core.cycles[0].contradicted, missing);
        close_server(&server);
    }
}

#define INQUEST "show_collections show_partitions describe_index create_index+built"

/* It is tried for server.timeout, and then the cycle is one whose rows nobody saw. */
static void an_inquest_that_fails_is_told(void **state)
{
    (void)state;
    for (int recovers = 0; recovers <= 1; recovers++) {
        struct server server;
        open_server(&server, LIFE "0}");
        server.fails = MH_OP_LOAD;
        server.how = MH_OUTCOME_FAILED;
        play_until(&server, "load+loaded " INQUEST " load+loaded show_collections");
        assert_int_equal(server.op->delay_ns, 200 * MH_MS);
        server.fails = recovers ? MH_OP_KINDS : MH_OP_LOAD;
        const int64_t begin_ns = server.now_ns, timeout_ns = server.core.job->server.timeout_ns;
        play(&server, 1);
        assert_int_equal(server.core.cycles[0].outcome, recovers ? MH_OUTCOME_FAILED : MH_OUTCOME_UNKNOWN);
        assert_string_equal(server.core.whys[0], "ended by the step load");
        assert_int_equal(server.core.finding_count, 0);
        if (!recovers)
            assert_in_range(server.now_ns - begin_ns, timeout_ns - MH_S, timeout_ns + MH_S);
        close_server(&server);
    }
}

static int64_t time_of_a_cycle(struct server *server)
{
    play(server, server->core.cycle_count + 1);
    const struct mh_cycle_end *end = &server->core.cycles[server->core.cycle_count - 1];
    return end->end_ns - end->begin_ns;
}

/* Until one succeeds. */
static void inquests_that_fail_in_a_row_take_half_as_long_each(void **state)
{
    (void)state;
    struct server server;
    open_server(&server, "{role: lifecycle, rows: 20, recheck: 0}");
    const int64_t timeout_ns = server.core.job->server.timeout_ns;
    server.fails = MH_OP_LOAD;
    server.how = MH_OUTCOME_FAILED;
    int64_t sum_ns = 0;
    for (int cycle = 0; cycle < 30; cycle++) {
        server.script[0] = '\0';
        const int64_t took_ns = time_of_a_cycle(&server);
        sum_ns += took_ns;
        assert_in_range(took_ns, timeout_ns >> cycle, (timeout_ns >> cycle) + MH_S);
        assert_int_equal(server.core.cycles[cycle].outcome, MH_OUTCOME_UNKNOWN);
        assert_int_equal(server.patience_ns, (300 * MH_S) >> (cycle < 20 ? cycle : 20));
        assert_non_null(strstr(server.script, "load+loaded " INQUEST " load+loaded"));
    }
    assert_true(sum_ns < 3 * timeout_ns);
    server.script[0] = '\0';
    play_until(&server, "load+loaded");
    assert_int_equal(server.patience_ns, 300 * MH_S); /* the cycle's own */
    server.fails = MH_OP_KINDS;
    play(&server, 31);
    assert_int_equal(server.core.cycles[30].outcome, MH_OUTCOME_FAILED); /* looked at */
    server.fails = MH_OP_LOAD;
    assert_in_range(time_of_a_cycle(&server), timeout_ns - MH_S, timeout_ns + MH_S);
    close_server(&server);
}

static void a_stop_leaves_an_inquest(void **state)
{
    (void)state;
    struct server server;
    open_server(&server, LIFE "0}");
    server.fails = MH_OP_LOAD;
    server.how = MH_OUTCOME_FAILED;
    play_until(&server, "load+loaded show_collections");
    server.core.role.ending = true;
    assert_int_equal(turn(&server), MH_NEXT_SEND);
    assert_string_equal(strrchr(server.script, ' '), " drop_collection");
    turn(&server);
    assert_int_equal(server.core.cycles[0].outcome, MH_OUTCOME_UNKNOWN);
    assert_false(server.core.cycles[0].cut); /* it was broken before */
    close_server(&server);
}

/* A row that was not there yet, as far as anybody can tell: neither lost nor, as if all had been right, cut.
 */
static void what_a_stop_leaves_open_is_not_passed_over(void **state)
{
    (void)state;
    for (int put_right = 0; put_right <= 1; put_right++) {
        struct server server;
        open_server(&server, LIFE "0}");
        play_until(&server, "load+loaded");
        server.copies[3] = 0;
        turn(&server);
        assert_string_equal(strrchr(server.script, ' '), " count");
        if (put_right) {
            server.copies[3] = 1;
            turn(&server);
        }
        server.core.role.ending = true;
        turn(&server);
        assert_string_equal(strrchr(server.script, ' '), " drop_collection");
        turn(&server);
        const struct mh_cycle_end *end = &server.core.cycles[0];
        assert_int_equal(end->outcome, put_right ? MH_OUTCOME_OK : MH_OUTCOME_UNKNOWN);
        assert_int_equal(end->cut, put_right);
        assert_int_equal(end->contradicted, !put_right);
        assert_string_equal(server.core.whys[0],
                            put_right ? "" : "stopped while the step count was contradicted");
        close_server(&server);
    }
}

/* By no more than an inquest that asks it again: of a count all rows are the answer, of a search they are
 * none. */
static void what_could_not_be_asked_again_is_left_open(void **state)
{
    (void)state;
    static const struct {
        const char *until;
        enum mh_op_kind fails;
        bool recovers, settled;
        enum mh_found what;
    } cases[] = {{"count", MH_OP_QUERY, false, false, 0},
                 {"count", MH_OP_QUERY, true, true, MH_FOUND_LATE},
                 {"search", MH_OP_SEARCH, true, false, 0},
                 {"drop_collection", MH_OP_SHOW_COLLECTIONS, true, true, MH_FOUND_NOT_DROPPED}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct server server;
        open_server(&server, LIFE "0}");
        server.keeps_dropped = cases[i].fails == MH_OP_SHOW_COLLECTIONS;
        server.count_off = cases[i].fails == MH_OP_QUERY ? -1 : 0;
        server.leaves_out = cases[i].fails == MH_OP_SEARCH ? 2 : 0;
        play_until(&server, cases[i].until);
        turn(&server);
        server.count_off = 0;
        server.fails = cases[i].fails;
        server.how = MH_OUTCOME_FAILED;
        turn(&server); /* the same once more */
        server.keeps_dropped = false;
        server.fails = cases[i].recovers ? MH_OP_KINDS : cases[i].fails;
        play(&server, 1);
        const struct mh_cycle_end *end = &server.core.cycles[0];
        assert_int_equal(end->contradicted, !cases[i].settled);
        assert_int_equal(end->outcome, cases[i].settled ? MH_OUTCOME_FAILED : MH_OUTCOME_UNKNOWN);
        assert_int_equal(server.core.finding_count, cases[i].settled);
        if (cases[i].settled)
            expect(&server, 0, cases[i].what, cases[i].what == MH_FOUND_LATE ? 0 : MH_CYCLE_ID_WHOLE,
                   cases[i].fails);
        close_server(&server);
    }
}

/* Twice as long after each, and none after a whole one. */
static void broken_cycles_are_followed_by_pauses(void **state)
{
    (void)state;
    struct server server;
    open_server(&server, "{role: lifecycle, rows: 20, recheck: 0}");
    for (int cycle = 0; cycle < 12; cycle++) {
        server.fails = cycle < 10 ? MH_OP_CREATE_COLLECTION : MH_OP_KINDS;
        server.how = MH_OUTCOME_FAILED;
        turn(&server);
        const int doublings = cycle - 1 < 6 ? cycle - 1 : 6;
        assert_int_equal(server.op->delay_ns, cycle == 0 || cycle == 11 ? 0 : (100 * MH_MS) << doublings);
        play(&server, cycle + 1);
    }
    close_server(&server);
}

/* The stage ends without it: its books are made all the same. */
static void what_a_stage_leaves_is_booked(void **state)
{
    (void)state;
    struct server server;
    open_server(&server, LIFE "0}");
    server.fails = MH_OP_DROP_COLLECTION;
    server.how = MH_OUTCOME_FAILED;
    play_until(&server, "insert");
    server.core.role.ending = true;
    for (int i = 0; i < 20; i++)
        turn(&server);
    assert_int_equal(server.core.cycle_count, 0);
    server.core.role.ops->leave(&server.core.role);
    assert_int_equal(server.core.cycle_count, 1);
    assert_true(server.core.cycles[0].cut);
    assert_null(server.core.role.ops->owes(&server.core.role));
    close_server(&server);
}

static void what_comes_in_time_is_late(void **state)
{
    (void)state;
    struct server server;
    open_server(&server, LIFE "0}");
    play_until(&server, "load");
    server.copies[3] = 0;
    for (int i = 0; i < 5; i++) {
        turn(&server);
        assert_int_equal(server.op->booked_as, MH_TALLY_COUNT);
        assert_int_equal(server.op->delay_ns, i > 0 ? 50 * MH_MS : 0);
    }
    server.copies[3] = 1;
    play(&server, 1);
    assert_int_equal(server.core.finding_count, 1);
    expect(&server, 0, MH_FOUND_LATE, 0, MH_OP_QUERY);
    close_server(&server);
}

/* Only absence can be late: a deleted row that a strong read returns once was returned. */
static void what_is_wrong_once_stays_wrong(void **state)
{
    (void)state;
    struct server server;
    open_server(&server,
                "{role: lifecycle, rows: 20, recheck: 0, deleted: 100%, steps: [create_collection, insert, "
                "create_index, load, delete, query, search]}");
    play_until(&server, "delete count");
    server.copies[4] = 1;
    turn(&server); /* query */
    server.copies[4] = 0;
    play(&server, 1);
    assert_int_equal(server.core.finding_count, 1);
    expect(&server, 0, MH_FOUND_RESURRECTED, 4, MH_OP_QUERY);
    close_server(&server);
}

static void what_is_wrong_is_told_once_while_others_are_waited_for(void **state)
{
    (void)state;
    struct server server;
    open_server(&server, "{role: lifecycle, rows: 20, deleted: 0%, steps: [create_collection, insert, "
                         "create_index, load, query]}");
    play_until(&server, "load+loaded count");
    server.copies[3] = 0;
    server.strange = true;
    turn(&server);
    assert_string_equal(strrchr(server.script, ' '), " query");
    server.strange = false;
    assert_int_equal(server.core.finding_count, 1);
    expect(&server, 0, MH_FOUND_CORRUPTED, 0, MH_OP_QUERY);
    turn(&server);
    server.copies[3] = 1;
    play(&server, 1);
    assert_int_equal(server.core.finding_count, 2);
    expect(&server, 1, MH_FOUND_LATE, 0, MH_OP_QUERY);
    close_server(&server);
}

static void count_findings(void *context, const struct mh_cycle_wrong *wrong)
{
    assert_int_equal(wrong->what, MH_FOUND_MISSED);
    ++*(int *)context;
}

struct wrongs {
    struct mh_cycle_wrong items[10];
    int count;
};

static void keep_wrong(void *context, const struct mh_cycle_wrong *wrong)
{
    struct wrongs *wrongs = context;
    assert_true(wrongs->count < (int)COUNT(wrongs->items));
    wrongs->items[wrongs->count++] = *wrong;
}

static void expect_keyless(const struct wrongs *wrongs, int64_t lost)
{
    assert_int_equal(wrongs->count, 1 + lost);
    assert_int_equal(wrongs->items[0].what, MH_FOUND_CORRUPTED);
    assert_int_equal(wrongs->items[0].id, MH_CYCLE_ID_WHOLE);
    assert_int_equal(wrongs->items[0].seen, MH_SIGHT_STRANGE);
    for (int64_t row = 0; row < lost; row++) {
        assert_int_equal(wrongs->items[1 + row].what, MH_FOUND_LOST);
        assert_int_equal(wrongs->items[1 + row].id, row);
    }
}

/* A server's reply may have whatever columns it likes: no key is read out of what holds none. */
static void rows_without_their_keys_are_nobodys(void **state)
{
    (void)state;
    enum { WRITTEN = 3 };
    static const int types[] = {MH_FIELD_BOOL, MH_FIELD_INT32, MH_FIELD_VARCHAR};
    const struct mh_index_options flat = {.type = (char[]){"FLAT"}, .metric = MH_METRIC_L2};
    int32_t *narrow = calloc(WRITTEN, sizeof *narrow); /* not a byte more */
    struct server server;
    open_server(&server, LIFE "0}");
    struct mh_op *op = server.op;
    for (size_t t = 0; t < COUNT(types); t++) {
        struct mh_cycle cycle;
        struct wrongs rows = {0}, strays = {0}, again = {0};
        int64_t found = 0;
        assert_int_equal(mh_cycle_init(&cycle, &server.core.content, &flat, WRITTEN), 0);
        mh_cycle_begin(&cycle, 0);
        op->request.kind = MH_OP_INSERT;
        op->outcome = MH_OUTCOME_OK;
        op->rows.rows = WRITTEN;
        for (int i = 0; i < WRITTEN; i++)
            op->rows.ids[i] = i;
        mh_cycle_wrote(&cycle, op);
        op->request.kind = MH_OP_QUERY;
        op->reply.columns[0] =
            (struct mh_column){.name = "id", .type = types[t], .rows = WRITTEN, .values = narrow};
        op->reply.column_count = 1;
        assert_int_equal(mh_cycle_judge_rows(&cycle, op, 0, WRITTEN, &found, keep_wrong, &rows), 1 + WRITTEN);
        expect_keyless(&rows, WRITTEN);
        mh_cycle_judge_strays(&cycle, op, &found, keep_wrong, &strays);
        expect_keyless(&strays, 0);
        mh_cycle_note_away(&cycle, op);
        mh_cycle_judge_rows(&cycle, op, 0, WRITTEN, &found, keep_wrong, &again);
        expect_keyless(&again, WRITTEN);
        assert_int_equal(found, 0);
        mh_cycle_free(&cycle);
    }
    free(narrow);
    close_server(&server);
}

/* Nobody knows what they would have been; whether the rows are there an inquest sees, even so. */
static void an_answer_without_the_vectors_is_none(void **state)
{
    (void)state;
    for (int lost = 0; lost <= 1; lost++) {
        struct server server;
        open_server(&server, LIFE "0}");
        server.core.job->verify.vectors = 1;
        play_until(&server, "load+loaded");
        server.blind = true;
        play_until(&server, "query");
        assert_int_equal(server.core.cycle_count, 0);
        server.core.job->verify.vectors = 0;
        server.copies[3] = !lost;
        play(&server, 1);
        assert_true(server.core.cycles[0].contradicted);
        assert_int_equal(server.core.cycles[0].outcome, MH_OUTCOME_UNKNOWN);
        assert_string_equal(server.core.whys[0],
                            "the vectors asked for are not in the answer to the step query");
        if (lost)
            expect_lost(&server, 1, MH_OP_QUERY);
        assert_int_equal(server.core.finding_count > 0, lost);
        close_server(&server);
    }
}

/* Rows of the cycle, and right in all but that nobody asked for them here. */
static void rows_that_were_not_asked_for_are_a_filter_ignored(void **state)
{
    (void)state;
    struct server server;
    bool seen[ROWS] = {false};
    open_server(&server, LIFE "0}");
    play_until(&server, "load+loaded");
    server.unfiltered = true;
    play(&server, 1);
    for (int i = 0; i < server.core.finding_count; i++) {
        assert_int_equal(server.core.findings[i].what, MH_FOUND_FILTER_IGNORED);
        assert_int_equal(server.core.findings[i].step, MH_OP_QUERY);
        seen[row_of(&server, server.core.findings[i].id)] = true;
    }
    for (int row = 0; row < ROWS; row++)
        assert_true(seen[row]);
    assert_int_equal(server.core.finding_count, 2 * ROWS); /* of three batches, each but its own rows */
    assert_int_equal(server.core.cycles[0].outcome, MH_OUTCOME_OK);
    close_server(&server);
}

/* Whatever the index: where all rows are there, each search finds some. */
static void a_search_that_finds_nothing_misses_its_rows(void **state)
{
    (void)state;
    for (int deleted = 0; deleted <= 1; deleted++) {
        struct server server;
        struct mh_cycle cycle;
        const struct mh_index_options hnsw = {.type = (char[]){"HNSW"}, .metric = MH_METRIC_L2};
        int64_t hits_of[] = {0, 1}, id = 1;
        int findings = 0;
        open_server(&server, LIFE "0}");
        struct mh_op *op = server.op;
        assert_int_equal(mh_cycle_init(&cycle, &server.core.content, &hnsw, 3), 0);
        mh_cycle_begin(&cycle, 0);
        for (int kind = 0; kind <= deleted; kind++) {
            op->request.kind = kind == 0 ? MH_OP_INSERT : MH_OP_DELETE;
            op->outcome = MH_OUTCOME_OK;
            op->rows.rows = kind == 0 ? 3 : 1;
            for (int i = 0; i < 3; i++)
                op->rows.ids[i] = kind == 0 ? i : 2;
            mh_cycle_wrote(&cycle, op);
        }
        op->request = (struct mh_request){.kind = MH_OP_SEARCH, .query_count = 2, .limit = 1};
        op->reply = (struct mh_reply){
            .query_count = 2, .hits_of = hits_of, .ids = &id, .scores = server.scores, .hit_count = 1};
        mh_cycle_judge_hits(&cycle, op, 0, false, count_findings, &findings);
        assert_int_equal(findings, !deleted);
        memset(&op->reply, 0, sizeof op->reply);
        mh_cycle_free(&cycle);
        close_server(&server);
    }
}

/* By FLAT, which has to find all that there is room for. */
static void hits_are_all_there_are_and_as_far_as_they_say(void **state)
{
    (void)state;
    static const struct {
        int64_t leaves_out;
        float off;
        bool changes_places;
        enum mh_found what;
    } cases[] = {{1, 0, false, MH_FOUND_MISSED},
                 {-1, 0, false, MH_FOUND_SURPLUS},
                 {0, 1, false, MH_FOUND_WRONG_DISTANCE},
                 {0, NAN, false, MH_FOUND_WRONG_DISTANCE},
                 {0, 0, true, MH_FOUND_WRONG_ORDER}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct server server;
        open_server(&server, "{role: lifecycle, rows: 20, recheck: 0, queries: 3, topk: 4}");
        play_until(&server, "load");
        server.leaves_out = cases[i].leaves_out;
        server.off = cases[i].off;
        server.changes_places = cases[i].changes_places;
        play(&server, 1);
        assert_in_range(server.core.finding_count, 1, 6); /* of each query vector, of some the same */
        for (int f = 0; f < server.core.finding_count; f++) {
            const struct mh_finding *finding = &server.core.findings[f];
            assert_int_equal(finding->what, cases[i].what);
            assert_int_equal(finding->step, MH_OP_SEARCH);
            assert_in_range(row_of(&server, finding->id), 0, ROWS - 1);
            if (cases[i].off == 1) /* the row's own vector */
                assert_true(finding->expected_value == 0 && finding->seen_value == 1);
        }
        close_server(&server);
    }
}

/* By COSINE without a direction, and where single precision ends: 2.3.5 leaves out of FLAT's hits, which are
 * fewer than there is room for, what has no score. */
static void rows_without_a_score_need_not_be_found(void **state)
{
    (void)state;
    static const struct {
        enum mh_metric metric;
        float odd;
    } cases[] = {
        {MH_METRIC_COSINE, 0}, {MH_METRIC_COSINE, 1e30F}, {MH_METRIC_L2, 1e25F}, {MH_METRIC_IP, 1e25F}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct server server;
        struct mh_cycle cycle;
        const struct mh_index_options flat = {.type = (char[]){"FLAT"}, .metric = cases[i].metric};
        int64_t hits_of[] = {2, 0}, ids[] = {1, 2};
        float scores[] = {1, 1};
        int findings = 0;
        open_server(&server, LIFE "0}");
        struct mh_op *op = server.op;
        for (int d = 0; d < CORE_DIM; d++) {
            server.core.vectors[1 * CORE_DIM + d] = 0.5F; /* its inner products and cosines are 1 */
            server.core.vectors[2 * CORE_DIM + d] = 0.5F;
            server.core.vectors[3 * CORE_DIM + d] = cases[i].odd;
        }
        scores[0] = scores[1] = cases[i].metric == MH_METRIC_L2 ? 0 : 1;
        assert_int_equal(mh_cycle_init(&cycle, &server.core.content, &flat, 4), 0);
        mh_cycle_begin(&cycle, 0);
        cycle.sound = true;
        op->request.kind = MH_OP_INSERT;
        op->outcome = MH_OUTCOME_OK;
        op->rows.rows = 3;
        for (int row = 0; row < 3; row++)
            op->rows.ids[row] = row + 1;
        mh_cycle_wrote(&cycle, op);
        op->request = (struct mh_request){.kind = MH_OP_SEARCH, .query_count = 1, .limit = 10};
        op->reply = (struct mh_reply){
            .query_count = 1, .hits_of = hits_of, .ids = ids, .scores = scores, .hit_count = 2};
        assert_int_equal(
            mh_cycle_judge_hits(&cycle, op, 1, cases[i].metric != MH_METRIC_IP, count_findings, &findings),
            0);
        op->reply.hits_of = &hits_of[1]; /* none for its own vector */
        op->reply.hit_count = 0;
        assert_int_equal(mh_cycle_judge_hits(&cycle, op, 3, true, count_findings, &findings), 0);
        memset(&op->reply, 0, sizeof op->reply);
        mh_cycle_free(&cycle);
        close_server(&server);
    }
}

/* Deleted rows are no hits; where fewer are left than there is room for, all of them are. */
static void fewer_hits_than_wanted_are_right_where_there_are_no_more(void **state)
{
    (void)state;
    struct server server;
    open_server(&server,
                "{role: lifecycle, rows: 20, recheck: 0, topk: 15, deleted: 50%, steps: [create_collection, "
                "insert, create_index, load, delete, search]}");
    play(&server, 1);
    assert_int_equal(server.core.finding_count, 0);
    close_server(&server);
}

static void rows_go_with_their_partition(void **state)
{
    (void)state;
    for (int stay = 0; stay <= 1; stay++) {
        struct server server;
        open_server(&server,
                    "{role: lifecycle, rows: 20, steps: [create_collection, create_partition, insert, "
                    "drop_partition, create_index, load, query]}");
        play_until(&server, "load");
        if (!stay)
            memset(server.copies, 0, sizeof server.copies);
        play(&server, 1);
        assert_int_equal(server.core.finding_count > 0, stay);
        for (int i = 0; i < server.core.finding_count; i++)
            assert_int_equal(server.core.findings[i].what, MH_FOUND_RESURRECTED);
        close_server(&server);
    }
}

static void rows_go_into_the_partition_that_is_there(void **state)
{
    (void)state;
    struct server server;
    open_server(
        &server,
        "{role: lifecycle, rows: 20, steps: [create_collection, create_partition, drop_partition, insert]}");
    play_until(&server, "insert");
    assert_string_equal(server.op->request.partition, "");
    close_server(&server);
}

/* An insert in doubt may land behind its delete. */
static void a_delete_of_what_is_in_doubt_ends_no_doubt(void **state)
{
    (void)state;
    struct server server;
    open_server(&server, "{role: lifecycle, rows: 20, batch: 20, recheck: 1, deleted: 100%}");
    server.fails = MH_OP_INSERT;
    server.how = MH_OUTCOME_UNKNOWN;
    play_until(&server, "insert");
    server.first = server.op->rows.ids[0];
    server.fails = MH_OP_KINDS;
    play_until(&server, "delete");
    for (int row = 0; row < ROWS; row++)
        server.copies[row] = 1;
    play(&server, 1);
    assert_int_equal(server.core.finding_count, 0);
    close_server(&server);
}

static void copies_are_located(void **state)
{
    (void)state;
    struct server server;
    open_server(&server, LIFE "0}");
    play_until(&server, "load");
    server.copies[0] = 2;
    server.copies[11] = 3;
    play(&server, 1);
    assert_int_equal(server.core.finding_count, 2);
    expect(&server, 0, MH_FOUND_DUPLICATED, 0, MH_OP_QUERY);
    expect(&server, 1, MH_FOUND_DUPLICATED, 11, MH_OP_QUERY);
    assert_int_equal(server.core.findings[1].seen, 3);
    close_server(&server);
}

/* No query comes that it could be compared with. */
static void copies_show_in_a_count_alone(void **state)
{
    (void)state;
    struct server server;
    open_server(&server, "{role: lifecycle, rows: 20, recheck: 0, steps: [create_collection, insert, "
                         "create_index, load]}");
    play_until(&server, "load");
    server.copies[11] = 2;
    play(&server, 1);
    assert_int_equal(server.core.finding_count, 1);
    expect(&server, 0, MH_FOUND_DUPLICATED, 11, MH_OP_QUERY);
    close_server(&server);
}

static void a_count_that_nothing_explains_is_miscounted(void **state)
{
    (void)state;
    static const int64_t offs[] = {5, -3};
    for (size_t i = 0; i < COUNT(offs); i++) {
        struct server server;
        open_server(&server, LIFE "0}");
        server.count_off = offs[i];
        play(&server, 1);
        assert_int_equal(server.core.finding_count, 1);
        expect(&server, 0, MH_FOUND_MISCOUNTED, 0, MH_OP_QUERY);
        assert_int_equal(server.core.findings[0].expected, ROWS);
        assert_int_equal(server.core.findings[0].seen, ROWS + offs[i]);
        close_server(&server);
    }
}

static void deletes_that_do_nothing_are_seen_by_a_recheck(void **state)
{
    (void)state;
    for (int recheck = 0; recheck <= 1; recheck++) {
        struct server server;
        open_server(&server, recheck ? LIFE "1}" : LIFE "0}");
        server.keeps_deleted = true;
        play(&server, 1);
        assert_int_equal(server.core.finding_count, recheck ? ROWS : 0); /* by count and query; booked once */
        for (int i = 0; i < server.core.finding_count; i++)
            assert_int_equal(server.core.findings[i].what, MH_FOUND_RESURRECTED);
        close_server(&server);
    }
}

static void deletes_of_what_is_loaded_are_seen_at_once(void **state)
{
    (void)state;
    struct server server;
    open_server(
        &server,
        "{role: lifecycle, rows: 20, recheck: 0, topk: 1, deleted: 100%, steps: [create_collection, insert, "
        "create_index, load, delete, search, query]}");
    play_until(&server, "load");
    server.keeps_deleted = true;
    play(&server, 1);
    assert_non_null(strstr(server.script, "load+loaded count delete count"));
    assert_true(server.core.finding_count >= ROWS);
    for (int i = 0; i < server.core.finding_count; i++)
        assert_int_equal(server.core.findings[i].what, MH_FOUND_RESURRECTED);
    close_server(&server);
}

static void what_is_still_listed_is_not_dropped(void **state)
{
    (void)state;
    struct server server;
    open_server(&server, LIFE "0}");
    play_until(&server, "show_partitions");
    server.keeps_dropped = true;
    play(&server, 1);
    assert_int_equal(server.core.finding_count, 1);
    expect(&server, 0, MH_FOUND_NOT_DROPPED, MH_CYCLE_ID_WHOLE, MH_OP_SHOW_COLLECTIONS);
    assert_false(server.there); /* dropped once more */
    assert_int_equal(server.core.cycles[0].outcome, MH_OUTCOME_OK);
    close_server(&server);
}

/* In whatever state, or in none. */
static void an_index_that_is_still_described_is_not_dropped(void **state)
{
    (void)state;
    for (int nameless = 0; nameless <= 1; nameless++) {
        struct server server;
        open_server(&server, LIFE "0}");
        server.keeps_index = true;
        server.nameless = nameless;
        play(&server, 1);
        assert_int_equal(server.core.finding_count, 1);
        expect(&server, 0, MH_FOUND_NOT_DROPPED, MH_CYCLE_ID_INDEX, MH_OP_DESCRIBE_INDEX);
        assert_int_equal(server.core.cycles[0].outcome, MH_OUTCOME_OK);
        close_server(&server);
    }
}

/* ---- the longest life ---- */

static struct mh_texts longest(const char *words[MH_MOST_WORDS])
{
    static const char *const first[] = {"create_collection", "create_partition", "insert"},
                             *const last[] = {"create_index", "load", "query"};
    size_t count = 0;
    for (size_t i = 0; i < COUNT(first); i++)
        words[count++] = first[i];
    words[count++] = "delete";
    for (size_t i = 0; i < COUNT(last); i++)
        words[count++] = last[i];
    while (count < MH_MOST_WORDS)
        words[count++] = "query";
    return (struct mh_texts){.items = (char **)words, .count = count};
}

/* As many words as a job may give, of which nearly all have looks, and a recheck. */
static void the_longest_life_ends_with_its_drop(void **state)
{
    (void)state;
    const char *words[MH_MOST_WORDS];
    const struct mh_texts steps = longest(words);
    struct mh_error err;
    assert_int_equal(mh_program_check(&steps, &err), 0);
    const struct mh_program program = mh_program_of(&steps, true);
    assert_true(program.count > 2 * MH_MOST_WORDS && program.count <= MH_MOST_STEPS);
    assert_int_equal(program.steps[program.count - 2], MH_STEP_DROP_COLLECTION);
    assert_int_equal(program.steps[program.count - 1], MH_STEP_LIST_COLLECTIONS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cycle_is_the_plans),
        cmocka_unit_test(a_recheck_reads_what_is_left),
        cmocka_unit_test(no_two_cycles_share_an_id),
        cmocka_unit_test(a_failed_step_ends_its_cycle),
        cmocka_unit_test(a_collection_that_comes_behind_its_drop_is_nobodys_fault),
        cmocka_unit_test(a_drop_is_tried_again),
        cmocka_unit_test(rows_in_doubt_may_be_there_or_not),
        cmocka_unit_test(copies_do_not_hide_behind_rows_in_doubt),
        cmocka_unit_test(rows_in_doubt_that_land_late_are_no_copies),
        cmocka_unit_test(writes_in_doubt_that_land_in_between_are_no_violation),
        cmocka_unit_test(what_an_inquest_bears_out_was_not_late),
        cmocka_unit_test(a_count_with_room_for_rows_in_doubt_that_nothing_explains_is_miscounted),
        cmocka_unit_test(a_count_that_no_query_bears_out_is_not_passed_over),
        cmocka_unit_test(a_drop_by_the_way_is_looked_at),
        cmocka_unit_test(a_drop_that_is_done_late_is_late),
        cmocka_unit_test(a_drop_that_nobody_saw_done_may_have_left_it),
        cmocka_unit_test(a_drop_that_a_stop_leaves_undone_is_open),
        cmocka_unit_test(a_stop_removes_what_there_is),
        cmocka_unit_test(it_is_cut_by_what_a_stop_breaks),
        cmocka_unit_test(what_a_stop_leaves_open_is_not_passed_over),
        cmocka_unit_test(lost_rows_are_named_after_the_grace),
        cmocka_unit_test(rows_in_another_partition_are_misplaced),
        cmocka_unit_test(a_row_that_comes_home_while_it_is_sought_is_late),
        cmocka_unit_test(rows_in_both_partitions_are_duplicated),
        cmocka_unit_test(what_is_elsewhere_is_judged_row_by_row),
        cmocka_unit_test(a_collection_that_vanishes_loses_its_rows),
        cmocka_unit_test(a_collection_that_comes_back_is_late),
        cmocka_unit_test(rows_of_a_broken_cycle_are_looked_at),
        cmocka_unit_test(what_was_made_and_not_dropped_is_there),
        cmocka_unit_test(what_may_have_been_dropped_is_not_owed),
        cmocka_unit_test(a_drop_of_the_index_may_come_late),
        cmocka_unit_test(what_is_in_doubt_is_not_owed),
        cmocka_unit_test(a_failed_drop_may_have_taken_the_rows),
        cmocka_unit_test(an_inquest_that_fails_is_told),
        cmocka_unit_test(inquests_that_fail_in_a_row_take_half_as_long_each),
        cmocka_unit_test(a_stop_leaves_an_inquest),
        cmocka_unit_test(what_could_not_be_asked_again_is_left_open),
        cmocka_unit_test(broken_cycles_are_followed_by_pauses),
        cmocka_unit_test(what_a_stage_leaves_is_booked),
        cmocka_unit_test(what_comes_in_time_is_late),
        cmocka_unit_test(what_is_wrong_once_stays_wrong),
        cmocka_unit_test(what_is_wrong_is_told_once_while_others_are_waited_for),
        cmocka_unit_test(rows_without_their_keys_are_nobodys),
        cmocka_unit_test(an_answer_without_the_vectors_is_none),
        cmocka_unit_test(rows_that_were_not_asked_for_are_a_filter_ignored),
        cmocka_unit_test(a_search_that_finds_nothing_misses_its_rows),
        cmocka_unit_test(hits_are_all_there_are_and_as_far_as_they_say),
        cmocka_unit_test(rows_without_a_score_need_not_be_found),
        cmocka_unit_test(fewer_hits_than_wanted_are_right_where_there_are_no_more),
        cmocka_unit_test(rows_go_with_their_partition),
        cmocka_unit_test(rows_go_into_the_partition_that_is_there),
        cmocka_unit_test(a_delete_of_what_is_in_doubt_ends_no_doubt),
        cmocka_unit_test(copies_are_located),
        cmocka_unit_test(copies_show_in_a_count_alone),
        cmocka_unit_test(a_count_that_nothing_explains_is_miscounted),
        cmocka_unit_test(deletes_that_do_nothing_are_seen_by_a_recheck),
        cmocka_unit_test(deletes_of_what_is_loaded_are_seen_at_once),
        cmocka_unit_test(what_is_still_listed_is_not_dropped),
        cmocka_unit_test(an_index_that_is_still_described_is_not_dropped),
        cmocka_unit_test(the_longest_life_ends_with_its_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
