/* Memory for the job room. A job is at most 1 MiB of text: when there is no room for it, nothing else will
 * work either, so these abort instead of giving every line here a second way out. */
#ifndef MH_JOB_MEMORY_H
#define MH_JOB_MEMORY_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void *mh_have(void *memory)
{
    if (!memory) {
        fputs("milvus-hpc: out of memory while reading the job file\n", stderr);
        abort();
    }
    return memory;
}

static inline void *mh_zeroed(size_t count, size_t size)
{
    return mh_have(calloc(count ? count : 1, size ? size : 1));
}

static inline char *mh_copy(const char *text)
{
    return mh_have(strdup(text));
}

/* Makes room for one more item; grows by doubling, `count` being the number that is there. */
static inline void *mh_grown(void *items, size_t count, size_t size)
{
    if (count & (count - 1))
        return items;
    return mh_have(realloc(items, (count ? 2 * count : 1) * size));
}

/* Like asprintf, but returns the text. */
__attribute__((format(printf, 1, 2))) static inline char *mh_format(const char *format, ...)
{
    char *text;
    va_list args;
    va_start(args, format);
    int length = vasprintf(&text, format, args);
    va_end(args);
    return mh_have(length < 0 ? NULL : text);
}

#endif
