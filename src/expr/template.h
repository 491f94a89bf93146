/* Expressions with random operands, drawn anew for each operation:
 *
 *   {id}       an id that the run may write: 0 .. ids-1       {10..500}  a whole number, both ends included
 *   {prefix}   two digits, 00 .. 99: varchar values begin with "prefix42"         {{ and }}  a brace
 */
#ifndef MH_EXPR_TEMPLATE_H
#define MH_EXPR_TEMPLATE_H

#include "base/error.h"
#include "base/random.h"

#include <stddef.h>

/* -1: a brace that is not closed, or an operand that is none of these; the error names it and its place. */
int mh_template_check(const char *text, struct mh_error *err);

/* Writes the checked `text` with its operands into *out (at least *room bytes, grown as needed, owned by the
 * caller). ids >= 1. -1: no memory. */
int mh_template_fill(const char *text, int64_t ids, struct mh_random *random, char **out, size_t *room);

#endif
