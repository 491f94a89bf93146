#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

static struct {
    int rank;
    bool quiet;
    void (*step_aside)(void);
} logger;

void mh_log_init(int rank, bool quiet)
{
    logger.rank = rank;
    logger.quiet = quiet;
}

void mh_log_on_line(void (*step_aside)(void))
{
    logger.step_aside = step_aside;
}

/* One write a line: lines of several ranks on one terminal do not mix. */
static void put_line(const char *kind, const char *format, va_list args)
{
    char stamp[32] = "";
    if (logger.rank > 0)
        snprintf(stamp, sizeof stamp, " [rank %d]", logger.rank);
    char text[2048];
    vsnprintf(text, sizeof text, format, args);
    if (logger.step_aside)
        logger.step_aside();
    fprintf(stderr, "milvus-hpc%s: %s%s\n", stamp, kind, text);
}

void mh_note(const char *format, ...)
{
    if (logger.quiet)
        return;
    va_list args;
    va_start(args, format);
    put_line("", format, args);
    va_end(args);
}

void mh_warn(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    put_line("warning: ", format, args);
    va_end(args);
}

void mh_complain(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    put_line("error: ", format, args);
    va_end(args);
}
