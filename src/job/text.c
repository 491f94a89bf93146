#include "job/job.h"
#include "job/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#define LARGEST (1 << 20)

/* ---- the file ---- */

static int check_kind(const char *path, int fd, struct mh_error *err)
{
    struct stat status;
    if (fstat(fd, &status))
        return mh_fail(err, "%s: cannot be read: %s", path, strerror(errno));
    if (S_ISDIR(status.st_mode))
        return mh_fail(err, "%s: is a directory; expected a job file (YAML)", path);
    return 0;
}

/* Reads until the end: a pipe has no size to go by. */
static int read_all(const char *path, int fd, char *text, size_t *length, struct mh_error *err)
{
    *length = 0;
    while (*length <= LARGEST) {
        ssize_t got = read(fd, text + *length, LARGEST + 1 - *length);
        if (got == 0)
            return 0;
        if (got < 0 && errno != EINTR)
            return mh_fail(err, "%s: cannot be read: %s", path, strerror(errno));
        if (got > 0)
            *length += (size_t)got;
    }
    return mh_fail(err, "%s: is larger than 1 MiB; a job file is not", path);
}

static int read_file(const char *path, char *text, size_t *length, struct mh_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return mh_fail(err, "%s: cannot be opened: %s", path, strerror(errno));
    int rc = check_kind(path, fd, err);
    if (rc == 0)
        rc = read_all(path, fd, text, length, err);
    close(fd);
    return rc;
}

/* ---- where and what ---- */

struct cursor {
    const char *path, *text;
    size_t at, length;
    int line;
    size_t line_start;
    bool in_comment; /* of a line that is nothing else */
    char *out;
    size_t out_length;
    struct mh_error *err;
};

static int column(const struct cursor *c)
{
    int column = 1;
    for (size_t i = c->line_start; i < c->at; i++)
        column += (c->text[i] & 0xc0) != 0x80;
    return column;
}

__attribute__((format(printf, 2, 3))) static int fail_here(struct cursor *c, const char *format, ...)
{
    char what[400];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return mh_fail(c->err, "%s:%d:%d: %s", c->path, c->line, column(c), what);
}

/* Bytes of the UTF-8 character at `text`, which a NUL ends; 0: it is none (overlong, surrogate, out of
 * Unicode). */
static size_t character(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t length = s[0] < 0x80   ? 1
                    : s[0] < 0xc2 ? 0
                    : s[0] < 0xe0 ? 2
                    : s[0] < 0xf0 ? 3
                    : s[0] < 0xf5 ? 4
                                  : 0;
    for (size_t i = 1; i < length; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
    bool outside = (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf4 && s[1] > 0x8f);
    return length > 1 && (overlong || outside) ? 0 : length;
}

static bool is_utf8(const char *text)
{
    while (*text) {
        size_t length = character(text);
        if (length == 0)
            return false;
        text += length;
    }
    return true;
}

/* ---- ${NAME} ---- */

static bool is_comment(const struct cursor *c)
{
    size_t i = c->at;
    while (c->text[i] == ' ' || c->text[i] == '\t')
        i++;
    return c->text[i] == '#';
}

static int put(struct cursor *c, const char *text, size_t length)
{
    if (c->out_length + length > LARGEST)
        return fail_here(c, "the text with its variables is larger than 1 MiB");
    memcpy(c->out + c->out_length, text, length);
    c->out_length += length;
    return 0;
}

static int put_variable(struct cursor *c, const char *name, const char *fallback)
{
    const char *value = getenv(name);
    if (fallback && (!value || !*value))
        value = fallback;
    if (!value)
        return fail_here(c, "the environment variable %s is not set; set it or write ${%s:-default}", name,
                         name);
    if (strpbrk(value, "\r\n"))
        return fail_here(c, "the environment variable %s holds a line break", name);
    if (!is_utf8(value))
        return fail_here(c, "the environment variable %s is not UTF-8", name);
    return put(c, value, strlen(value));
}

/* `inside` is what stands between the braces. */
static int expand_inside(struct cursor *c, char *inside)
{
    size_t length = strspn(inside, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_");
    char *fallback = strncmp(inside + length, ":-", 2) == 0 ? inside + length + 2 : NULL;
    if (length == 0 || (*inside >= '0' && *inside <= '9') || (inside[length] && !fallback))
        return fail_here(c, "'${%.80s}' is not a variable; expected ${NAME} or ${NAME:-default}", inside);
    inside[length] = '\0';
    return put_variable(c, inside, fallback);
}

static int expand(struct cursor *c)
{
    const char *inside = c->text + c->at + 2;
    size_t length = strcspn(inside, "}\r\n");
    if (inside[length] != '}')
        return fail_here(c, "'${' is not closed by '}' on its line; write $$ for a dollar");
    char *copy = mh_have(strndup(inside, length));
    int rc = expand_inside(c, copy);
    free(copy);
    c->at += length + 3;
    return rc;
}

static void start_line(struct cursor *c)
{
    c->line++;
    c->line_start = c->at;
    c->in_comment = is_comment(c);
}

static int step(struct cursor *c)
{
    const char *here = c->text + c->at;
    size_t length = character(here);
    if (*here == '\0')
        return fail_here(c, "a NUL byte; a job file is text");
    if (length == 0)
        return fail_here(c, "not UTF-8 (byte 0x%02x)", (unsigned char)*here);
    if (!c->in_comment && here[0] == '$' && here[1] == '{')
        return expand(c);
    bool dollars = !c->in_comment && here[0] == '$' && here[1] == '$';
    if (put(c, here, length))
        return -1;
    c->at += dollars ? 2 : length;
    if (*here == '\n')
        start_line(c);
    return 0;
}

static int expand_all(struct cursor *c)
{
    start_line(c);
    while (c->at < c->length)
        if (step(c))
            return -1;
    c->out[c->out_length] = '\0';
    return 0;
}

int mh_job_read(const char *path, char **text, struct mh_error *err)
{
    /* One byte more than allowed shows that there is more, and one ends the text. */
    char *raw = mh_zeroed(LARGEST + 2, 1), *out = mh_zeroed(LARGEST + 1, 1);
    struct cursor c = {.path = path, .text = raw, .out = out, .err = err};
    int rc = read_file(path, raw, &c.length, err);
    if (rc == 0)
        rc = expand_all(&c);
    if (rc == 0)
        *text = mh_copy(out);
    free(raw);
    free(out);
    return rc;
}
