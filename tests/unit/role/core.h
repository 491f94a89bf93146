/* The core as far as a role can see it: a queue of claims, a log of offers, one worker of a job. */
#ifndef MH_UNIT_ROLE_CORE_H
#define MH_UNIT_ROLE_CORE_H

#include "role/role.h"

enum { CORE_CLAIMS = 64, CORE_SIGHTINGS = 64, CORE_ROWS = 100, CORE_QUERIES = 20, CORE_DIM = 4 };

struct core {
    struct mh_claim waiting[CORE_CLAIMS]; /* the oldest first */
    int waiting_count;
    struct mh_claim offers[CORE_CLAIMS];
    int offer_count;
    struct mh_sighting sightings[CORE_SIGHTINGS];
    int sighting_count;
    struct mh_finding findings[CORE_SIGHTINGS];
    int finding_count;
    struct mh_cycle_end cycles[CORE_SIGHTINGS]; /* that have ended */
    char whys[CORE_SIGHTINGS][64];
    int cycle_count;
    struct mh_stage_view view;
    struct mh_job *job;
    struct mh_worker worker;
    struct mh_plan plan;
    struct mh_dataset data; /* CORE_ROWS x CORE_DIM, row r is r in every dimension; CORE_QUERIES likewise */
    struct mh_content content;
    float vectors[CORE_ROWS * CORE_DIM];
    struct mh_role role;
};

/* A worker of the role that reads `role` in a job file: "{role: writer, batch: 10}". */
void core_open(struct core *core, const char *role, uint64_t seed);
void core_close(struct core *core); /* with the role's fini */

void core_deliver(struct core *core, struct mh_claim claim);

/* An operation with room for `rows` rows. */
struct mh_op *core_op(int64_t rows);
void core_free_op(struct mh_op *op);

#endif
