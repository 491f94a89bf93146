#include "base/payload.h"

#include <stdlib.h>

void mh_payload_reset(struct mh_payload *payload)
{
    for (size_t i = 0; i < payload->piece_count; i++)
        if (payload->pieces[i].release)
            payload->pieces[i].release(payload->pieces[i].held);
    payload->piece_count = 0;
    payload->total = 0;
    payload->copied_length = 0;
}

void mh_payload_free(struct mh_payload *payload)
{
    mh_payload_reset(payload);
    free(payload->copied);
    *payload = (struct mh_payload){0};
}
