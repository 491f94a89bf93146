/* A mock without a network: requests as the program encodes them, replies as it decodes them. */
#ifndef MH_UNIT_MOCK_ROOM_H
#define MH_UNIT_MOCK_ROOM_H

#include "mock/mock.h"

enum { ROOM_DIM = 4 };

struct room {
    struct mh_mock mock;
    struct mh_reply reply;
    struct mh_payload payload;
    char log[64]; /* path of the fault log */
};

void room_open(struct room *room, const char *const *faults, size_t fault_count);
void room_close(struct room *room);

/* The bytes of a request, contiguous; to be freed. */
uint8_t *room_encode(struct room *room, const struct mh_request *request, size_t *length);
enum mh_outcome room_ask(struct room *room, const struct mh_request *request);
enum mh_outcome room_simple(struct room *room, enum mh_op_kind kind); /* of the collection alone */

void room_create(
    struct room *room); /* collection "c" of id, vector, number, name; partitions p and q; index */
enum mh_outcome room_write(struct room *room, enum mh_op_kind kind, const char *partition, int64_t first,
                           int64_t rows, int64_t version);
enum mh_outcome room_delete(struct room *room, const char *partition, int64_t first, int64_t rows);
int64_t room_count(struct room *room, const char *expression, const char *partition);
/* Values of `number` of the rows that hold; the reply keeps them. NULL: refused. */
const int64_t *room_numbers(struct room *room, const char *expression, int64_t limit, int64_t *rows);
int room_lines(const struct room *room); /* in the fault log */

#endif
