/* Names: what may be one, and what a wrong one was probably meant to be. */
#ifndef MH_JOB_NAMES_H
#define MH_JOB_NAMES_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

bool mh_is_name(const char *text); /* [A-Za-z_][A-Za-z0-9_]*, at most 255 bytes */

/* The name that is a third of its length or less away from `name`, letter case apart; NULL: none. */
const char *mh_nearest(const char *name, const char *const *known, size_t count);

/* "`what`; did you mean 'batch'? (known: count, rows, batch)" as err's text; returns -1. */
int mh_fail_unknown(struct mh_error *err, const char *what, const char *name, const char *const *known,
                    size_t count);

/* "a, b, c" into text; returns text. */
char *mh_join(const char *const *names, size_t count, const char *between, char *text, size_t size);

enum { MH_PAGE_NAME = 64 };

/* What a page of metrics is called: its host:port, and its path where that is not /metrics. No user, password
 * or query: they may be secrets, and names are in results. Of what is too long the beginning. */
void mh_page_name(const char *url, char name[MH_PAGE_NAME]);

#endif
