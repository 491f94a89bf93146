/* Rank-stamped lines on stderr: the only printer of diagnostics. Reports go to stdout, from result/. */
#ifndef MH_BASE_LOG_H
#define MH_BASE_LOG_H

#include <stdbool.h>

/* `quiet` keeps warnings and errors, drops notes. Rank 0's lines carry no stamp. */
void mh_log_init(int rank, bool quiet);

/* Is told before and after each line, so that a redrawn progress line can step aside. NULL: nobody. */
void mh_log_on_line(void (*step_aside)(void));

void mh_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
void mh_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void mh_complain(const char *format, ...) __attribute__((format(printf, 1, 2))); /* an error, never dropped */

#endif
