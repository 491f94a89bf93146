/* Numbers with units, as the job file writes them, and back for people. Every parser takes the whole text
 * (no trailing garbage), returns 0 and sets *out, or returns -1 and leaves *out alone. */
#ifndef MH_BASE_UNITS_H
#define MH_BASE_UNITS_H

#include <stddef.h>
#include <stdint.h>

int mh_parse_count(const char *text, int64_t *out); /* "1000", "10k", "2.5M", "1G": powers of 1000 */
int mh_parse_bytes(const char *text, int64_t *out); /* "512", "64KiB", "1MiB", "2GiB", "10MB" (10^6) */
int mh_parse_duration_ns(const char *text,
                         int64_t *out);            /* "250us", "50ms", "30s", "2m", "1.5h", "1d"; a bare
                                                      0 is allowed, any other bare number is not */
int mh_parse_rate(const char *text, double *out);  /* per second: "500/s", "10k/s", "30/m", "1/h" */
int mh_parse_ratio(const char *text, double *out); /* "0.95", "1%" -> 0.01 */

/* Writers: short text for people into `text` of `size` bytes; return `text`. */
char *mh_show_count(int64_t value, char *text, size_t size); /* "1,234,567" */
char *mh_show_bytes(int64_t bytes, char *text, size_t size); /* "612 MiB" */
char *mh_show_duration(int64_t ns, char *text, size_t size); /* "1.23 ms", "4.5 s", "2 m 5 s" */

#endif
