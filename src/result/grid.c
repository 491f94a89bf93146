#include "result/grid.h"

#include "base/units.h"
#include "result/fields.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_COLUMNS 100
#define GAP          2

static void put(struct mh_grid *grid, char *cell)
{
    if (grid->count == grid->room) {
        const size_t room = grid->room ? 2 * grid->room : 64;
        char **cells = realloc(grid->cells, room * sizeof *cells);
        if (!cells) {
            free(cell);
            return;
        }
        grid->cells = cells;
        grid->room = room;
    }
    grid->cells[grid->count++] = cell;
}

void mh_grid_put(struct mh_grid *grid, const char *format, ...)
{
    char text[512], clean[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    mh_result_clean(text, true, clean, sizeof clean);
    put(grid, strdup(clean));
}

void mh_grid_put_count(struct mh_grid *grid, int64_t value)
{
    char text[40];
    mh_grid_put(grid, "%s", value == -1 ? "not measured" : mh_show_count(value, text, sizeof text));
}

void mh_grid_put_rate(struct mh_grid *grid, double value)
{
    if (fabs(value) >= 99.95 && fabs(value) < 1e18)
        mh_grid_put_count(grid, llround(value));
    else
        mh_grid_put(grid, "%.1f", value);
}

void mh_grid_put_duration(struct mh_grid *grid, int64_t ns)
{
    char text[40];
    mh_grid_put(grid, "%s", mh_show_duration(ns, text, sizeof text));
}

/* Characters, not bytes: what follows the first byte of one does not count. */
static int width_of(const char *text)
{
    int width = 0;
    for (; text && *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

/* 0: the column is left out. */
static int column_width(const struct mh_grid *grid, size_t column, size_t columns)
{
    const char kind = grid->columns[column];
    int width = width_of(grid->cells[column]);
    bool idle = kind == 'L' || kind == 'R';
    for (size_t i = column + columns; i < grid->count; i += columns) {
        const int cell = width_of(grid->cells[i]);
        idle = idle && grid->cells[i] && strcmp(grid->cells[i], "0") == 0;
        width = cell > width ? cell : width;
    }
    return idle ? 0 : width;
}

static void print_row(FILE *out, const struct mh_grid *grid, size_t first, const int *widths, size_t columns)
{
    int owed = GAP; /* blanks are held back until something follows, so that no line ends in them */
    int at = GAP;
    for (size_t c = 0; c < columns; c++) {
        if (widths[c] == 0)
            continue;
        const char *cell = grid->cells[first + c] ? grid->cells[first + c] : "";
        if (grid->columns[c] == 'w') {
            fprintf(out, "%*s", *cell ? owed : 0, "");
            mh_print_wrapped(out, cell, at, at);
            return;
        }
        at += widths[c] + GAP;
        const int rest = widths[c] - width_of(cell);
        const bool right = grid->columns[c] == 'r' || grid->columns[c] == 'R';
        if (*cell)
            fprintf(out, "%*s%s", owed + (right ? rest : 0), "", cell);
        owed = *cell ? GAP + (right ? 0 : rest) : owed + GAP + rest;
    }
    fputc('\n', out);
}

void mh_grid_print(FILE *out, struct mh_grid *grid)
{
    const size_t columns = strlen(grid->columns);
    int widths[32];
    for (size_t c = 0; c < columns && grid->count >= columns; c++)
        widths[c] = column_width(grid, c, columns);
    for (size_t first = 0; first + columns <= grid->count; first += columns)
        print_row(out, grid, first, widths, columns);
    for (size_t i = 0; i < grid->count; i++)
        free(grid->cells[i]);
    free(grid->cells);
    *grid = (struct mh_grid){.columns = grid->columns};
}

void mh_print_wrapped(FILE *out, const char *text, int indent, int column)
{
    bool begun = false;
    for (const char *word = text; *word;) {
        const size_t length = strcspn(word, " ");
        const int width = (int)length; /* bytes: a line may end a little early */
        if (begun && column + 1 + width > PAGE_COLUMNS) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
        } else if (begun) {
            fputc(' ', out);
            column++;
        }
        fwrite(word, 1, length, out);
        column += width;
        begun = true;
        word += length;
        word += strspn(word, " ");
    }
    fputc('\n', out);
}
