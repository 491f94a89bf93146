#include "observe/prometheus.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_NAME = 512 };

/* Behind the labels that begin at `text`; NULL: they do not end in this line. */
static const char *behind_labels(const char *text)
{
    bool quoted = false;
    for (; *text && *text != '\n'; text++) {
        if (quoted && *text == '\\' && text[1] && text[1] != '\n')
            text++;
        else if (*text == '"')
            quoted = !quoted;
        else if (*text == '}' && !quoted)
            return text + 1;
    }
    return NULL;
}

static bool is_wanted(const char *name, size_t bare, size_t whole, const char *wanted)
{
    const size_t length = strlen(wanted);
    if (length > 0 && wanted[length - 1] == '*')
        return length - 1 <= bare && strncmp(name, wanted, length - 1) == 0;
    return (length == bare || length == whole) && strncmp(name, wanted, length) == 0;
}

bool mh_metric_is_wanted(const char *name, const char *const *wanted, size_t wanted_count)
{
    const size_t bare = strcspn(name, "{"), whole = strlen(name);
    for (size_t i = 0; i < wanted_count; i++)
        if (is_wanted(name, bare, whole, wanted[i]))
            return true;
    return false;
}

static void read_line(const char *line, const char *const *wanted, size_t wanted_count,
                      mh_metric_visitor *visit, void *context)
{
    char name[MOST_NAME], *end;
    const size_t bare = strcspn(line, "{ \t\n");
    const char *rest = line[bare] == '{' ? behind_labels(line + bare) : line + bare;
    const size_t whole = rest ? (size_t)(rest - line) : 0;
    if (bare == 0 || whole == 0 || whole >= sizeof name || (*rest != ' ' && *rest != '\t'))
        return;
    const double value = strtod(rest, &end);
    if (end == rest || memchr(rest, '\n', (size_t)(end - rest)) || !isfinite(value))
        return;
    memcpy(name, line, whole);
    name[whole] = '\0';
    if (mh_metric_is_wanted(name, wanted, wanted_count))
        visit(context, name, value);
}

void mh_prometheus_read(const char *text, const char *const *wanted, size_t wanted_count,
                        mh_metric_visitor *visit, void *context)
{
    for (const char *line = text; *line;) {
        if (*line != '#')
            read_line(line, wanted, wanted_count, visit, context);
        line += strcspn(line, "\n");
        line += *line == '\n';
    }
}
