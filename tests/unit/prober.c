/* The prober: when a watched write is seen, unread, lost from sight again or given up, by level of
 * consistency; and the role's order of operations. */
#include "role/watch.h"

#include "base/clock.h"
#include "check.h"
#include "role/core.h"

#include <stdlib.h>
#include <string.h>

/* ---- the watch ---- */

enum { ID = 77, EXPECTED = 2, BOUND_MS = 5000, GRACE_MS = 10000, STAMP = 4711 };

static const int64_t ACKED_NS = 123 * MH_S;

static struct mh_watch watch_at(int consistency, uint64_t stamp)
{
    const struct mh_watch_rules rules = {
        .consistency = consistency, .bound_ns = BOUND_MS * MH_MS, .grace_ns = GRACE_MS * MH_MS};
    const struct mh_op write = {.request.kind = MH_OP_UPSERT, .done_ns = ACKED_NS, .reply.timestamp = stamp};
    struct mh_watch watch;
    mh_watch_begin(&watch, &rules, &write, ID, EXPECTED);
    return watch;
}

/* A read sent `after_ms` after the acknowledgement, of 3 ms. */
static unsigned look(struct mh_watch *watch, int64_t after_ms, int32_t seen)
{
    const struct mh_op read = {.request.kind = MH_OP_QUERY,
                               .sent_ns = ACKED_NS + after_ms * MH_MS,
                               .done_ns = ACKED_NS + (after_ms + 3) * MH_MS};
    mh_watch_look(watch, &read, seen);
    return watch->sighting.what;
}

static const int levels[] = {MH_STRONG, MH_SESSION, MH_BOUNDED, MH_EVENTUALLY};

static void what_is_seen_at_once_and_again_is_well(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(levels); i++) {
        struct mh_watch watch = watch_at(levels[i], STAMP);
        assert_int_equal(look(&watch, 4, EXPECTED), MH_SIGHT_FIRST);
        assert_int_equal(watch.sighting.acked_ns, ACKED_NS);
        assert_int_equal(watch.sighting.sent_ns, ACKED_NS + 4 * MH_MS);
        assert_int_equal(watch.sighting.done_ns, ACKED_NS + 7 * MH_MS);
        assert_int_equal(watch.sighting.id, ID);
        assert_int_equal(watch.sighting.expected, EXPECTED);
        assert_int_equal(watch.sighting.write, MH_OP_UPSERT);
        assert_int_equal(watch.sighting.read, MH_OP_QUERY);
        assert_int_equal(watch.sighting.consistency, levels[i]);
        assert_true(watch.seen && !watch.over);
        assert_int_equal(look(&watch, 14, EXPECTED), 0);
        assert_true(watch.over);
    }
}

static void strong_reads_see_it_at_once_or_are_told_once(void **state)
{
    (void)state;
    static const int32_t others[] = {MH_SIGHT_ABSENT, MH_SIGHT_STRANGE, EXPECTED - 1, EXPECTED + 1};
    for (size_t i = 0; i < COUNT(others); i++) {
        struct mh_watch watch = watch_at(MH_STRONG, 0);
        assert_int_equal(look(&watch, 0, others[i]), MH_SIGHT_UNREAD);
        assert_int_equal(watch.sighting.seen, others[i]);
        assert_int_equal(look(&watch, 10, others[i]), 0);
        assert_int_equal(look(&watch, 20, EXPECTED), MH_SIGHT_FIRST);
        assert_int_equal(look(&watch, 30, EXPECTED), 0);
        assert_true(watch.over);
    }
}

/* A session can ask for what has a timestamp alone. */
static void a_session_sees_what_was_stamped(void **state)
{
    (void)state;
    struct mh_watch stamped = watch_at(MH_SESSION, STAMP), bare = watch_at(MH_SESSION, 0);
    assert_int_equal(look(&stamped, 0, EXPECTED - 1), MH_SIGHT_UNREAD);
    assert_int_equal(look(&bare, 0, EXPECTED - 1), 0);
    assert_int_equal(look(&bare, GRACE_MS, EXPECTED - 1), 0);
    assert_int_equal(look(&bare, GRACE_MS + 1, EXPECTED - 1), MH_SIGHT_NEVER);
    assert_true(bare.over && !bare.sighting.told);
}

static void bounded_reads_see_it_after_the_bound(void **state)
{
    (void)state;
    const int64_t due_ms = BOUND_MS + MH_BOUND_SLACK_MS;
    struct mh_watch watch = watch_at(MH_BOUNDED, STAMP);
    assert_int_equal(look(&watch, 0, MH_SIGHT_ABSENT), 0);
    assert_int_equal(look(&watch, due_ms, MH_SIGHT_ABSENT), 0);
    assert_int_equal(look(&watch, due_ms + 1, MH_SIGHT_ABSENT), MH_SIGHT_UNREAD);
    assert_int_equal(look(&watch, GRACE_MS, MH_SIGHT_ABSENT), 0);
    assert_int_equal(look(&watch, GRACE_MS + 1, MH_SIGHT_ABSENT), MH_SIGHT_NEVER);
    assert_true(watch.over && watch.sighting.told && !watch.seen);
}

/* A grace below the bound does not make a violation of what is allowed. */
static void a_short_grace_waits_for_the_bound(void **state)
{
    (void)state;
    struct mh_watch watch = watch_at(MH_BOUNDED, STAMP);
    watch.rules.grace_ns = MH_MS;
    assert_int_equal(look(&watch, BOUND_MS, MH_SIGHT_ABSENT), 0);
    assert_false(watch.over);
    assert_int_equal(look(&watch, BOUND_MS + MH_BOUND_SLACK_MS + 1, MH_SIGHT_ABSENT),
                     MH_SIGHT_UNREAD | MH_SIGHT_NEVER);
    assert_true(watch.over);
}

static void eventually_promises_no_time(void **state)
{
    (void)state;
    struct mh_watch watch = watch_at(MH_EVENTUALLY, STAMP);
    assert_int_equal(look(&watch, BOUND_MS * 10 / 9, MH_SIGHT_ABSENT), 0);
    assert_int_equal(look(&watch, GRACE_MS, EXPECTED), MH_SIGHT_FIRST);
    watch = watch_at(MH_EVENTUALLY, STAMP);
    assert_int_equal(look(&watch, GRACE_MS + 1, MH_SIGHT_ABSENT), MH_SIGHT_NEVER);
    assert_false(watch.sighting.told);
}

static void what_was_seen_stays_seen(void **state)
{
    (void)state;
    static const int32_t others[] = {MH_SIGHT_ABSENT, MH_SIGHT_STRANGE, EXPECTED - 1};
    for (size_t i = 0; i < COUNT(levels); i++)
        for (size_t k = 0; k < COUNT(others); k++) {
            struct mh_watch watch = watch_at(levels[i], STAMP);
            look(&watch, 1, EXPECTED);
            assert_int_equal(look(&watch, 2, others[k]), MH_SIGHT_BACK);
            assert_true(watch.over && watch.seen);
        }
}

static void failed_reads_end_it_after_the_grace(void **state)
{
    (void)state;
    struct mh_watch watch = watch_at(MH_STRONG, STAMP);
    struct mh_op read = {.request.kind = MH_OP_QUERY, .sent_ns = ACKED_NS + GRACE_MS * MH_MS};
    mh_watch_miss(&watch, &read);
    assert_false(watch.over);
    read.sent_ns++;
    mh_watch_miss(&watch, &read);
    assert_true(watch.over && !watch.seen && !watch.sighting.told);
}

/* ---- the role, against a server of one row ---- */

struct server {
    struct core core;
    struct mh_op *op;
    int64_t now_ns;
    int64_t id;
    int32_t version, before; /* of the row; -1: absent. `before` is what it was until visible_ns */
    int64_t visible_ns;
    const struct mh_column *keys; /* in place of a query's own */
    struct mh_column columns[2];
    int64_t key;
    const char *text;
    struct mh_scalar scalar;
};

static void open_server(struct server *server, const char *role)
{
    memset(server, 0, sizeof *server);
    core_open(&server->core, role, 3);
    server->op = core_op(1);
    server->now_ns = MH_S;
    server->version = server->before = -1;
}

static void close_server(struct server *server)
{
    core_free_op(server->op);
    core_close(&server->core);
}

static void answer_write(struct server *server)
{
    struct mh_op *op = server->op;
    server->before = op->request.kind == MH_OP_INSERT ? -1 : server->version;
    server->id = op->rows.ids[0];
    server->version = op->request.kind == MH_OP_DELETE ? -1 : op->versions[0];
    op->reply.timestamp = STAMP;
}

static void answer_read(struct server *server)
{
    enum { KEY, VECTOR, TEXT };
    struct mh_op *op = server->op;
    const struct mh_content *content = &server->core.content;
    const int32_t version = server->now_ns >= server->visible_ns ? server->version : server->before;
    const int64_t rows = version >= 0;
    char expected[64];
    snprintf(expected, sizeof expected, "id == %lld", (long long)server->id);
    assert_string_equal(op->request.expression, expected);
    assert_int_equal(op->request.output_count, 1);
    mh_content_scalar(content, TEXT, server->id, version < 0 ? 0 : version, &server->scalar);
    server->text = server->scalar.text;
    server->key = server->id;
    server->columns[0] =
        (struct mh_column){.name = "id", .type = MH_FIELD_INT64, .rows = rows, .values = &server->key};
    server->columns[1] = (struct mh_column){.name = op->request.output_fields[0],
                                            .type = MH_FIELD_VARCHAR,
                                            .rows = rows,
                                            .values = &server->text};
    if (server->keys)
        server->columns[0] = *server->keys;
    op->reply.ids = &server->key;
    op->reply.hit_count = op->request.kind == MH_OP_SEARCH ? rows : 0;
    const bool search = op->request.kind == MH_OP_SEARCH;
    op->reply.column_count = search ? 1 : 2;
    memcpy(op->reply.columns, search ? &server->columns[1] : server->columns,
           op->reply.column_count * sizeof server->columns[0]);
}

/* One operation, of 1 ms; what is written can be seen `delay_ms` after it was acknowledged. */
static enum mh_next turn(struct server *server, int64_t delay_ms)
{
    struct mh_op *op = server->op;
    op->delay_ns = 0;
    const enum mh_next next = server->core.role.ops->next(&server->core.role, op);
    if (next != MH_NEXT_SEND)
        return next;
    server->now_ns += op->delay_ns;
    op->sent_ns = server->now_ns;
    op->outcome = MH_OUTCOME_OK;
    memset(&op->reply, 0, sizeof op->reply);
    if (mh_op_infos[op->request.kind].write)
        answer_write(server);
    else
        answer_read(server);
    server->now_ns += MH_MS;
    op->done_ns = server->now_ns;
    if (mh_op_infos[op->request.kind].write)
        server->visible_ns = server->now_ns + delay_ms * MH_MS;
    server->core.role.ops->done(&server->core.role, op);
    return next;
}

static void rows_are_inserted_then_upserted_and_deleted_by_turns(void **state)
{
    (void)state;
    static const enum mh_op_kind writes[] = {MH_OP_INSERT, MH_OP_UPSERT, MH_OP_INSERT,
                                             MH_OP_DELETE, MH_OP_INSERT, MH_OP_UPSERT};
    static const struct {
        const char *role;
        enum mh_op_kind read;
    } kinds[] = {{"{role: prober, rows: 3}", MH_OP_QUERY},
                 {"{role: prober, rows: 3, read: search}", MH_OP_SEARCH}};
    for (size_t k = 0; k < COUNT(kinds); k++) {
        struct server server;
        open_server(&server, kinds[k].role);
        for (size_t i = 0; i < COUNT(writes); i++) {
            assert_int_equal(turn(&server, 0), MH_NEXT_SEND);
            assert_int_equal(server.op->request.kind, writes[i]);
            assert_int_equal(server.op->rows.rows, 1);
            assert_int_equal(server.op->rows.ids[0], server.core.worker.first_id + (int64_t)i / 2);
            assert_int_equal(server.op->versions[0], writes[i] == MH_OP_UPSERT);
            for (int read = 0; read < 2; read++) {
                assert_int_equal(turn(&server, 0), MH_NEXT_SEND);
                assert_int_equal(server.op->request.kind, kinds[k].read);
                assert_int_equal(server.op->delay_ns, read ? 10 * MH_MS : 0);
            }
        }
        assert_int_equal(turn(&server, 0), MH_NEXT_FINISHED);
        assert_int_equal(server.core.sighting_count, COUNT(writes));
        for (size_t i = 0; i < COUNT(writes); i++) {
            assert_int_equal(server.core.sightings[i].what, MH_SIGHT_FIRST);
            assert_int_equal(server.core.sightings[i].write, writes[i]);
        }
        close_server(&server);
    }
}

static void it_polls_until_the_write_is_seen(void **state)
{
    (void)state;
    struct server server;
    int reads = 0;
    open_server(&server, "{role: prober, rows: 1, consistency: eventually, poll: 20ms}");
    turn(&server, 100);
    while (server.core.sighting_count == 0 && reads < 1000) {
        assert_int_equal(turn(&server, 0), MH_NEXT_SEND);
        reads++;
    }
    const struct mh_sighting *sighting = &server.core.sightings[0];
    assert_int_equal(sighting->what, MH_SIGHT_FIRST);
    assert_int_equal(reads, 6); /* at 0, 21, 42, 63, 84 and 105 ms */
    assert_int_equal(sighting->sent_ns - sighting->acked_ns, 105 * MH_MS);
    assert_int_equal(sighting->done_ns - sighting->acked_ns, 106 * MH_MS);
    close_server(&server);
}

static void the_level_is_the_collections_unless_given(void **state)
{
    (void)state;
    static const struct {
        const char *role;
        int level;
    } cases[] = {{"{role: prober}", MH_STRONG},
                 {"{role: prober, consistency: session}", MH_SESSION},
                 {"{role: prober, consistency: bounded}", MH_BOUNDED},
                 {"{role: prober, consistency: eventually}", MH_EVENTUALLY}};
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct server server;
        open_server(&server, cases[i].role);
        turn(&server, 0);
        turn(&server, 0);
        assert_int_equal(server.op->request.consistency, cases[i].level);
        close_server(&server);
    }
}

static void unread_rows_are_named_with_what_was_seen(void **state)
{
    (void)state;
    struct server server;
    open_server(&server, "{role: prober, rows: 1}");
    turn(&server, 0);
    turn(&server, 0);
    turn(&server, 0);
    turn(&server, 50); /* the upsert */
    turn(&server, 0);
    const struct mh_sighting *sighting = &server.core.sightings[1];
    assert_int_equal(server.core.sighting_count, 2);
    assert_int_equal(sighting->what, MH_SIGHT_UNREAD);
    assert_int_equal(sighting->write, MH_OP_UPSERT);
    assert_int_equal(sighting->id, server.core.worker.first_id);
    assert_int_equal(sighting->expected, 1);
    assert_int_equal(sighting->seen, 0);
    close_server(&server);
}

/* A server's reply may have whatever columns it likes: no key is read out of what holds none. */
static void rows_without_their_keys_are_strange(void **state)
{
    (void)state;
    int32_t *narrow = calloc(1, sizeof *narrow); /* not a byte more */
    const char *text = "5000";
    const struct mh_column others[] = {{.name = "id", .type = MH_FIELD_INT32, .rows = 1, .values = narrow},
                                       {.name = "id", .type = MH_FIELD_BOOL, .rows = 1, .values = narrow},
                                       {.name = "id", .type = MH_FIELD_VARCHAR, .rows = 1, .values = &text},
                                       {.name = "id", .type = MH_FIELD_INT64},
                                       {.name = "another"}};
    for (size_t i = 0; i < COUNT(others); i++) {
        struct server server;
        open_server(&server, "{role: prober, rows: 1}");
        turn(&server, 0);
        server.keys = &others[i];
        turn(&server, 0);
        assert_int_equal(server.core.sighting_count, 1);
        assert_int_equal(server.core.sightings[0].what, MH_SIGHT_UNREAD);
        assert_int_equal(server.core.sightings[0].seen, MH_SIGHT_STRANGE);
        close_server(&server);
    }
    free(narrow);
}

/* Nothing is known of a write that did not end well: its row is left alone. */
static void rows_in_doubt_are_left(void **state)
{
    (void)state;
    for (int outcome = MH_OUTCOME_OK + 1; outcome < MH_OUTCOMES; outcome++) {
        struct core core;
        struct mh_op *op = core_op(1);
        core_open(&core, "{role: prober, rows: 2}", 3);
        for (int row = 0; row < 2; row++) {
            assert_int_equal(core.role.ops->left(&core.role), 2 - row);
            assert_int_equal(core.role.ops->next(&core.role, op), MH_NEXT_SEND);
            assert_int_equal(op->request.kind, MH_OP_INSERT);
            assert_int_equal(op->rows.ids[0], core.worker.first_id + row);
            op->outcome = (enum mh_outcome)outcome;
            core.role.ops->done(&core.role, op);
        }
        assert_int_equal(core.role.ops->next(&core.role, op), MH_NEXT_FINISHED);
        assert_int_equal(core.sighting_count, 0);
        core_close(&core);
        core_free_op(op);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_seen_at_once_and_again_is_well),
        cmocka_unit_test(strong_reads_see_it_at_once_or_are_told_once),
        cmocka_unit_test(a_session_sees_what_was_stamped),
        cmocka_unit_test(bounded_reads_see_it_after_the_bound),
        cmocka_unit_test(a_short_grace_waits_for_the_bound),
        cmocka_unit_test(eventually_promises_no_time),
        cmocka_unit_test(what_was_seen_stays_seen),
        cmocka_unit_test(failed_reads_end_it_after_the_grace),
        cmocka_unit_test(rows_are_inserted_then_upserted_and_deleted_by_turns),
        cmocka_unit_test(it_polls_until_the_write_is_seen),
        cmocka_unit_test(the_level_is_the_collections_unless_given),
        cmocka_unit_test(unread_rows_are_named_with_what_was_seen),
        cmocka_unit_test(rows_without_their_keys_are_strange),
        cmocka_unit_test(rows_in_doubt_are_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
