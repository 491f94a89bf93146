#include "observe/prometheus.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* Behind the labels that begin at `text`; NULL: they do not end. */
static const char *behind_labels(const char *text)
{
    bool quoted = false;
    for (; *text; text++) {
        if (quoted && *text == '\\' && text[1])
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

static void read_line(const struct mh_prometheus *reader)
{
    const char *line = reader->line;
    char name[MH_METRIC_NAME], *end;
    const size_t bare = strcspn(line, "{ \t");
    const char *rest = line[bare] == '{' ? behind_labels(line + bare) : line + bare;
    const size_t whole = rest ? (size_t)(rest - line) : 0;
    if (line[0] == '#' || bare == 0 || whole == 0 || whole >= sizeof name || (*rest != ' ' && *rest != '\t'))
        return;
    memcpy(name, line, whole);
    name[whole] = '\0';
    if (!mh_metric_is_wanted(name, reader->wanted, reader->wanted_count))
        return;
    const double value = strtod(rest, &end);
    if (end != rest && isfinite(value))
        reader->visit(reader->context, name, value);
}

/* One that did not fit was none that is wanted. */
static void end_line(struct mh_prometheus *reader)
{
    if (reader->length < sizeof reader->line) {
        reader->line[reader->length] = '\0';
        read_line(reader);
    }
    reader->length = 0;
}

static void keep(struct mh_prometheus *reader, const char *bytes, size_t count)
{
    const size_t room = sizeof reader->line - reader->length; /* 0: it is too long already */
    memcpy(reader->line + reader->length, bytes, count < room ? count : room);
    reader->length += count < room ? count : room;
}

void mh_prometheus_begin(struct mh_prometheus *reader, const char *const *wanted, size_t wanted_count,
                         mh_metric_visitor *visit, void *context)
{
    reader->wanted = wanted;
    reader->wanted_count = wanted_count;
    reader->visit = visit;
    reader->context = context;
    reader->length = 0;
}

void mh_prometheus_take(struct mh_prometheus *reader, const char *bytes, size_t count)
{
    for (const char *newline; (newline = memchr(bytes, '\n', count));) {
        const size_t length = (size_t)(newline - bytes);
        keep(reader, bytes, length);
        end_line(reader);
        bytes += length + 1;
        count -= length + 1;
    }
    keep(reader, bytes, count);
}

void mh_prometheus_end(struct mh_prometheus *reader)
{
    end_line(reader);
}
