/* Private to result/: the terminal summary's page, and what its sections share. */
#ifndef MH_RESULT_PAGE_H
#define MH_RESULT_PAGE_H

#include "result/fields.h"
#include "result/grid.h"

#include <stdbool.h>
#include <stdio.h>

#define MH_BOLD  "\033[1m"
#define MH_RED   "\033[1;31m"
#define MH_GREEN "\033[1;32m"
#define MH_PLAIN "\033[0m"

struct mh_page {
    FILE *out;
    bool colour;
    const struct mh_report *report;
    const struct mh_result_view *view;
};

struct mh_shown {
    char text[40];
};

bool mh_page_takes_colour(FILE *out);
const char *mh_page_paint(const struct mh_page *page, const char *code); /* "" without colours */
/* A section's title, and what follows it on its line. */
void mh_page_heading(const struct mh_page *page, const char *colour, const char *title, const char *format,
                     ...) __attribute__((format(printf, 4, 5)));
/* A label and a sentence, wrapped. */
void mh_page_fact(const struct mh_page *page, const char *label, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int64_t mh_page_figure(const struct mh_page *page,
                       const char *name); /* of /truth/summary; -1: not measured */

struct mh_shown mh_shown_count(int64_t value); /* "1,234"; -1: "not measured" */
struct mh_shown mh_shown_bytes(int64_t bytes);
struct mh_shown mh_shown_duration(int64_t ns);
struct mh_shown mh_shown_moment(int64_t ns); /* "+1.234 s" */
const char *mh_or_unknown(const char *text);
const char *mh_plural(int64_t count); /* "s" or "" */

void mh_page_put_texts(struct mh_grid *grid, const char *const *texts, size_t count);
#define MH_HEADS(GRID, ...)                                                                                  \
    mh_page_put_texts(GRID, (const char *const[]){__VA_ARGS__},                                              \
                      sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

/* The sections: each prints nothing where the run has nothing of the kind. text_load.c, text_reads.c,
 * text_audit.c */
void mh_print_operations(const struct mh_page *page);
void mh_print_latencies(const struct mh_page *page);
void mh_print_pace(const struct mh_page *page);
void mh_print_searches(const struct mh_page *page);
void mh_print_limits(const struct mh_page *page);
void mh_print_errors(const struct mh_page *page);
void mh_print_events(const struct mh_page *page);
void mh_print_thresholds(const struct mh_page *page);
void mh_print_trends(const struct mh_page *page);
void mh_print_reads(const struct mh_page *page);
void mh_print_visibility(const struct mh_page *page);
void mh_print_cycles(const struct mh_page *page);
void mh_print_audit(const struct mh_page *page);
void mh_print_violations(const struct mh_page *page);

#endif
