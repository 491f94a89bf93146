/* Private to result/: a table of text, each column as wide as its widest cell. */
#ifndef MH_RESULT_GRID_H
#define MH_RESULT_GRID_H

#include <stdint.h>
#include <stdio.h>

struct mh_grid {
    const char *columns; /* 'l' or 'r' for each; a capital: left out while all its cells are "0"; 'w', the
                            last: wrapped */
    char **cells;        /* row by row, the head first; NULL where there was no memory */
    size_t count, room;
};

/* The cells follow one after the other, from left to right. */
void mh_grid_put(struct mh_grid *grid, const char *format, ...) __attribute__((format(printf, 2, 3)));
void mh_grid_put_count(struct mh_grid *grid, int64_t value); /* "1,234"; -1: "not measured" */
void mh_grid_put_rate(struct mh_grid *grid, double value);   /* "12.3", "1,234" */
void mh_grid_put_duration(struct mh_grid *grid, int64_t ns); /* "12.3 ms" */

void mh_grid_print(FILE *out, struct mh_grid *grid); /* indented by two; then empties it */

/* Words of `text`, broken to lines of 100 columns that begin with `indent` blanks; the first line is at
 * `column` already. */
void mh_print_wrapped(FILE *out, const char *text, int indent, int column);

#endif
