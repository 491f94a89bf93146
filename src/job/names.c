#include "job/names.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define LONGEST 64 /* no known name is longer, so nothing longer is near one */

bool mh_is_name(const char *text)
{
    if (!isalpha((unsigned char)*text) && *text != '_')
        return false;
    size_t length = 0;
    for (; text[length]; length++)
        if ((text[length] & 0x80) || (!isalnum((unsigned char)text[length]) && text[length] != '_'))
            return false;
    return length <= 255;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Letters to insert, remove, change or swap with their neighbour to make one of the other. */
static size_t distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    size_t rows[3][LONGEST + 1];
    for (size_t j = 0; j <= b_length; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t *now = rows[i % 3], *before = rows[(i + 2) % 3], *earlier = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
            now[j] = least(least(before[j], now[j - 1]) + 1, before[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
                y == tolower((unsigned char)a[i - 2]))
                now[j] = least(now[j], earlier[j - 2] + 1);
        }
    }
    return rows[a_length % 3][b_length];
}

const char *mh_nearest(const char *name, const char *const *known, size_t count)
{
    size_t length = strlen(name);
    if (length == 0 || length > LONGEST)
        return NULL;
    const char *nearest = NULL;
    size_t best = length <= 3 ? 2 : length / 3 + 1;
    for (size_t i = 0; i < count; i++) {
        size_t known_length = strlen(known[i]);
        if (known_length > LONGEST)
            continue;
        size_t away = distance(name, length, known[i], known_length);
        if (away < best && away < least(length, known_length)) {
            best = away;
            nearest = known[i];
        }
    }
    return nearest;
}

char *mh_join(const char *const *names, size_t count, const char *between, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < count && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i ? between : "", names[i]);
    return text;
}

int mh_fail_unknown(struct mh_error *err, const char *what, const char *name, const char *const *known,
                    size_t count)
{
    char list[600];
    const char *nearest = mh_nearest(name, known, count);
    mh_join(known, count, ", ", list, sizeof list);
    if (nearest)
        return mh_fail(err, "%s; did you mean '%s'? (known: %s)", what, nearest, list);
    return mh_fail(err, "%s (known: %s)", what, count ? list : "none");
}

void mh_page_name(const char *url, char name[MH_PAGE_NAME])
{
    const char *scheme = strstr(url, "://"), *from = scheme ? scheme + 3 : url;
    const char *user = memchr(from, '@', strcspn(from, "/?#"));
    from = user ? user + 1 : from;
    const size_t host = strcspn(from, "/?#"), whole = strcspn(from, "?#");
    const bool usual =
        whole - host == strlen("/metrics") && strncmp(from + host, "/metrics", whole - host) == 0;
    snprintf(name, MH_PAGE_NAME, "%.*s", (int)(usual ? host : whole), from);
}
