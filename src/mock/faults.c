/* The table of faults. A new one is a row here and a hook in rows.c or calls.c, or a question in a read. */
#include "mock/fault.h"

#include <stdio.h>

#define WRITES "insert upsert delete"
#define STORES "insert upsert"

#define ROW(fault, strikes, parameters, text, who, hook)                                                     \
    {                                                                                                        \
        .name = fault, .place = MH_FAULT_ROW, .ops = strikes, .takes = parameters, .help = text, .count = 1, \
        .eligible = who, .row = hook                                                                         \
    }
#define READ(fault, strikes, parameters, text, first)                                                        \
    {                                                                                                        \
        .name = fault, .place = MH_FAULT_READ, .ops = strikes, .takes = parameters, .help = text,            \
        .count = first                                                                                       \
    }
#define CALL(fault, strikes, parameters, text, first, hook, later)                                           \
    {                                                                                                        \
        .name = fault, .place = MH_FAULT_CALL, .ops = strikes, .takes = parameters, .help = text,            \
        .count = first, .call = hook, .after = later                                                         \
    }

const struct mh_fault_kind mh_fault_kinds[] = {
    ROW("lose", STORES, "at", "a row is acknowledged, then gone", NULL, mh_row_lose),
    {.name = "lose_batch",
     .place = MH_FAULT_REQUEST,
     .ops = WRITES,
     .takes = "",
     .help = "a whole write is acknowledged and not done",
     .count = 1},
    ROW("lose_concurrent", WRITES, "ms",
        "a row's write is acknowledged and not done, while writes of two partitions come within ms= (50)",
        mh_is_concurrent, mh_row_skip),
    ROW("duplicate", STORES, "", "a row is stored twice", NULL, mh_row_duplicate),
    ROW("upsert_both", "upsert", "", "the old row stays beside the new one", mh_has_old, mh_row_keep_both),
    ROW("upsert_lost", "upsert", "", "an upsert is acknowledged and not done", mh_has_old, mh_row_skip),
    ROW("upsert_half_deleted", "upsert", "", "the old row goes, the new one never comes", mh_has_old,
        mh_row_half_delete),
    ROW("keep_deleted", "delete", "", "a delete is acknowledged and not done", mh_has_old, mh_row_skip),
    ROW("resurrect", "delete", "at", "a deleted row comes back", mh_has_old, mh_row_resurrect),
    ROW("misplace", STORES, "", "a row is stored in another partition", mh_has_other_partition,
        mh_row_misplace),
    ROW("flip_vector", STORES, "", "one bit of a vector is flipped", mh_has_vector, mh_row_flip_vector),
    ROW("flip_scalar", STORES, "", "one bit of a number or one letter of a text is changed", mh_has_scalar,
        mh_row_flip_scalar),
    ROW("late", STORES, "seconds", "a row can be seen only seconds= (1) later", NULL, mh_row_delay),
    ROW("unexpected", "insert", "key step",
        "beside a row there is one that nobody wrote, of key= (2^40) upwards by step= (1)", NULL,
        mh_row_invent),
    READ("count_off", "query", "by seconds", "count(*) is wrong by by= (1), for seconds= or count= times", 0),
    READ("statistics_off", "statistics partition_statistics", "by", "statistics are wrong by by= (1)", 0),
    READ("stale_read", "query search", "seconds", "a read sees what was seconds= (1) ago, Strong or not", 1),
    READ("partitions_ignored", "query search", "", "the names of partitions are left out", 1),
    READ("search_dead", "search", "", "a hit is a row that was deleted", 1),
    READ("search_repeat", "search", "", "a hit comes twice", 1),
    READ("search_distance", "search", "", "the distance of a hit is wrong", 1),
    READ("search_order", "search", "", "two hits have changed places", 1),
    READ("search_unfiltered", "search", "", "the filter is left out", 1),
    READ("search_radius_ignored", "search", "", "radius and range_filter are left out", 1),
    READ("search_short", "search", "", "the last hit is missing", 1),
    {.name = "keep_dropped",
     .place = MH_FAULT_READ,
     .ops = "drop_collection drop_partition drop_index",
     .takes = "",
     .help = "a drop of a collection, a partition or an index is acknowledged and not done",
     .count = 1},
    {.name = "drop_partition",
     .place = MH_FAULT_EVENT,
     .ops = NULL,
     .takes = "at partition",
     .help = "partition= (the last one) vanishes, at=flush|compaction|reload (flush)",
     .count = 1},
    {.name = "leak",
     .place = MH_FAULT_MEMORY,
     .ops = "",
     .takes = "at seconds",
     .help = "memory is taken and never given back: VALUE is how fast (1MiB/s); at=now|later:SECONDS, for "
             "seconds="},
    CALL("reply_code", NULL, "code legacy when", "the reply says code= (65535) and legacy= (1)", 1,
         mh_call_code, false),
    CALL("grpc_status", NULL, "status when", "the call ends with gRPC's status= (14)", 1, mh_call_status,
         false),
    CALL("delay", NULL, "ms tail", "the reply comes ms= (100) later; of the share tail= ten times as late", 0,
         mh_call_delay, true),
    CALL("stall", NULL, "seconds", "for seconds= (1) from the first that it strikes, no call is answered", 0,
         mh_call_stall, true),
    CALL("hang", NULL, "when", "there is no reply", 1, mh_call_hang, false),
    CALL("reset", NULL, "when", "the connection is closed", 1, mh_call_reset, false),
    CALL("garbage", NULL, "when", "the reply is random bytes", 1, mh_call_garbage, true),
    CALL("truncate", NULL, "when", "the reply breaks off half-way", 1, mh_call_truncate, true),
    CALL("huge", NULL, "when bytes", "the reply has bytes= (16777216) that mean nothing", 1, mh_call_huge,
         true),
    CALL("goaway", NULL, "", "all clients are told to connect again", 1, mh_call_goaway, true),
    CALL("die", NULL, "when data", "the server is gone at once, with exit code 137; data=keep|lose", 1,
         mh_call_die, false),
    {.name = NULL},
};
