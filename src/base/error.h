/* The one way a function tells its caller what went wrong.
 *
 * Convention of the whole program: a function that can fail takes a `struct mh_error *err` as its last
 * argument and returns 0 on success, -1 on failure. Whoever first knows the cause writes the message, once,
 * naming file, line, key or field and what was expected; callers pass it on. Outputs change only on success.
 * Only main.c prints it and ends the program. */
#ifndef MH_BASE_ERROR_H
#define MH_BASE_ERROR_H

struct mh_error {
    char text[1024]; /* one line, no trailing newline; empty when nothing failed */
};

/* Exit codes of the program (DESIGN: the worst wins in the order 3 > 2 > 1 > 0). */
enum mh_exit {
    MH_EXIT_GOOD = 0,
    MH_EXIT_THRESHOLD = 1,
    MH_EXIT_VIOLATION = 2,
    MH_EXIT_UNUSABLE = 3, /* usage, job file, data set or infrastructure */
};

/* Formats the message into err (truncated to fit) and is -1, so that `return mh_fail(err, ...)` works; a
 * macro, so that whoever reads one source file alone, as analyzers do, knows that too. */
#define mh_fail(...) (mh_error_set(__VA_ARGS__), mh_failure())
void mh_error_set(struct mh_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline int mh_failure(void)
{
    return -1;
}

/* Puts "prefix: " in front of the message that is there and returns -1. */
int mh_fail_in(struct mh_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
