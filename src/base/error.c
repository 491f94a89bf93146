#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void mh_error_set(struct mh_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

int mh_fail_in(struct mh_error *err, const char *format, ...)
{
    char prefix[sizeof err->text];
    va_list args;
    va_start(args, format);
    vsnprintf(prefix, sizeof prefix - 3, format, args);
    va_end(args);
    strcat(prefix, ": ");
    const size_t length = strlen(prefix), room = sizeof err->text - 1 - length;
    const size_t kept = smaller(strlen(err->text), room); /* what does not fit is cut off at the end */
    memmove(err->text + length, err->text, kept);
    memcpy(err->text, prefix, length);
    err->text[length + kept] = '\0';
    return -1;
}
