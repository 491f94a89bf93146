#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>

int mh_fail(struct mh_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    return -1;
}

int mh_fail_in(struct mh_error *err, const char *format, ...)
{
    char cause[sizeof err->text];
    snprintf(cause, sizeof cause, "%s", err->text);
    va_list args;
    va_start(args, format);
    int used = vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    if (used >= 0 && used < (int)sizeof err->text)
        snprintf(err->text + used, sizeof err->text - (size_t)used, ": %s", cause);
    return -1;
}
