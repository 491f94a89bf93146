#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

int mh_bytes_append(struct mh_bytes *bytes, const void *data, size_t length)
{
    if (length == 0) /* memcpy wants a pointer even so */
        return 0;
    if (bytes->length + length > bytes->room) {
        size_t room = 2 * (bytes->length + length);
        uint8_t *grown = realloc(bytes->data, room);
        if (!grown)
            return -1;
        bytes->data = grown;
        bytes->room = room;
    }
    memcpy(bytes->data + bytes->length, data, length);
    bytes->length += length;
    return 0;
}

void mh_bytes_free_all(struct mh_bytes *bytes, int count)
{
    for (int i = 0; bytes && i < count; i++)
        free(bytes[i].data);
    free(bytes);
}
