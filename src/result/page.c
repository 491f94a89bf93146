#include "result/page.h"

#include "base/clock.h"
#include "base/terminal.h"
#include "base/units.h"
#include "result/grid.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { LABEL_WIDTH = 12 };

bool mh_page_takes_colour(FILE *out)
{
    const char *term = getenv("TERM"), *no = getenv("NO_COLOR");
    const int fd = fileno(out); /* -1: memory */
    return fd >= 0 && mh_is_terminal(fd) && !(no && *no) && term && strcmp(term, "dumb") != 0;
}

const char *mh_page_paint(const struct mh_page *page, const char *code)
{
    return page->colour ? code : "";
}

void mh_page_heading(const struct mh_page *page, const char *colour, const char *title, const char *format,
                     ...)
{
    fprintf(page->out, "\n%s%s%s", mh_page_paint(page, colour), title, mh_page_paint(page, MH_PLAIN));
    va_list args;
    va_start(args, format);
    vfprintf(page->out, format, args);
    va_end(args);
    fputc('\n', page->out);
}

void mh_page_fact(const struct mh_page *page, const char *label, const char *format, ...)
{
    char text[1024], clean[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    mh_result_clean(text, true, clean, sizeof clean);
    fprintf(page->out, "  %-*s", LABEL_WIDTH, label);
    mh_print_wrapped(page->out, clean, LABEL_WIDTH + 2, LABEL_WIDTH + 2);
}

struct mh_shown mh_shown_count(int64_t value)
{
    struct mh_shown shown;
    if (value == -1)
        snprintf(shown.text, sizeof shown.text, "not measured");
    else
        mh_show_count(value, shown.text, sizeof shown.text);
    return shown;
}

struct mh_shown mh_shown_bytes(int64_t bytes)
{
    struct mh_shown shown;
    mh_show_bytes(bytes, shown.text, sizeof shown.text);
    return shown;
}

struct mh_shown mh_shown_duration(int64_t ns)
{
    struct mh_shown shown;
    mh_show_duration(ns, shown.text, sizeof shown.text);
    return shown;
}

struct mh_shown mh_shown_moment(int64_t ns)
{
    struct mh_shown shown;
    snprintf(shown.text, sizeof shown.text, "%+.3f s", (double)ns / MH_S);
    return shown;
}

const char *mh_or_unknown(const char *text)
{
    return *text ? text : "not known";
}

const char *mh_plural(int64_t count)
{
    return count == 1 ? "" : "s";
}

int64_t mh_page_figure(const struct mh_page *page, const char *name)
{
    return mh_report_figure(page->report, name);
}

void mh_page_put_texts(struct mh_grid *grid, const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        mh_grid_put(grid, "%s", texts[i]);
}
