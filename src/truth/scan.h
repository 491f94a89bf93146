/* Private to truth/: one pass over this rank's slices. */
#ifndef MH_TRUTH_SCAN_H
#define MH_TRUTH_SCAN_H

#include "client/fan.h"
#include "truth/audit.h"

enum { MH_QUERY_WINDOW = 16384 /* rows that one query may return */ };

/* A row that looks wrong and gets until the end of verify.grace to look right. */
struct mh_suspect {
    int64_t id;
    int32_t kind;                           /* enum mh_wrong */
    int64_t expected_version, seen_version; /* as in struct mh_violation */
    int32_t partition;
    int32_t elsewhere; /* version that stands in a place not known yet; MH_VERSION_NONE: none */
    uint16_t fate;
    uint8_t insert;
    bool scanned; /* the scan saw it, and counted it */
    bool settled;
};

struct mh_pass {
    struct mh_audit *audit;
    struct mh_fan *fan;
    int32_t number;
    bool collection_gone;
    const bool *partition_gone; /* by position in the plan */
    char **partitions;          /* on the server and in the plan: the plan's first, in its order */
    int partition_count;
    int64_t *counted;      /* sum of slices' count(*) by partition, this rank's */
    int64_t *distinct;     /* keys seen, by slice */
    int64_t *slice_counts; /* count(*), by slice */
    struct mh_fates fates; /* of slice `loaded`; -1: of none */
    int64_t loaded;
    int32_t *seen; /* MH_SLICE_ROWS: version seen, or MH_VERSION_* */
    const char **output_fields;
    size_t output_count;
    struct mh_suspect *suspects;
    int64_t suspect_count, suspect_room;
    int64_t expected_live, expected_maybe, scanned, unknown_present, unknown_absent, deletes_hit_live,
        upserts_hit_live;
    int64_t *ids; /* of the vectors' sample */
    int64_t id_count, id_room;
    int64_t *questions; /* where each begins in ids, and the last ends */
    int64_t question_count;
};

int mh_pass_open(struct mh_pass *pass, struct mh_error *err); /* after the inputs are set */
void mh_pass_close(struct mh_pass *pass);

int mh_pass_scan(struct mh_pass *pass, struct mh_error *err);  /* rows, by key */
int mh_pass_count(struct mh_pass *pass, struct mh_error *err); /* count(*) by slice; finds duplicates */
int mh_count_in(const struct mh_reply *reply, int64_t *count, struct mh_error *err); /* of a count(*) reply */
int mh_pass_vectors(struct mh_pass *pass, struct mh_error *err);                     /* a sample */
int mh_pass_settle(struct mh_pass *pass, struct mh_error *err); /* waits for suspects, condemns the rest */
/* Rows found in partition `seen_in` that do not belong there, and are this rank's to judge. */
int mh_pass_strays(struct mh_pass *pass, const int64_t *ids, int64_t count, int32_t seen_in,
                   struct mh_error *err);

/* row.c: shared by the steps */
bool mh_pass_absent(const struct mh_pass *pass, int32_t partition); /* it, or the collection, is gone */
int mh_pass_load_fates(struct mh_pass *pass, int64_t at,
                       struct mh_error *err); /* of slice `at` into pass->fates */
void mh_pass_set_query(const struct mh_pass *pass, struct mh_fan_slot *slot,
                       int32_t partition); /* slot->text is the expression; -1: all */
bool mh_pass_write_keys(const struct mh_pass *pass, struct mh_fan_slot *slot, const int64_t *ids,
                        int64_t from, int64_t to); /* false: no memory */
bool mh_pass_write_range(const struct mh_pass *pass, struct mh_fan_slot *slot, int64_t first,
                         int64_t end); /* [first, end); false: no memory */
/* Keys in a reply. Some servers leave out every column of an empty one. */
int mh_pass_keys(const struct mh_pass *pass, const struct mh_reply *reply, const int64_t **ids, int64_t *rows,
                 struct mh_error *err);
/* Which version a row's scalars are: the expected one is tried first, and the only one tried when all is
 * well. */
int32_t mh_pass_version_seen(const struct mh_content *content, const struct mh_reply *reply, int64_t row,
                             int64_t id, int32_t expected);
void mh_pass_condemn(struct mh_pass *pass, int kind, const struct mh_suspect *suspect,
                     int32_t seen_partition);

bool mh_pass_allows(const struct mh_pass *pass,
                    const struct mh_suspect *row); /* as an anomaly: verify.allow */

/* -1: as it must be; else enum mh_wrong. seen: a version, or MH_VERSION_*. */
int mh_judge_row(enum mh_insert_fate insert, uint16_t fate, int32_t seen);
int32_t mh_expected_version(enum mh_insert_fate insert, uint16_t fate);

bool mh_audit_condemned(const struct mh_audit *audit, int kind, int64_t id);

#endif
