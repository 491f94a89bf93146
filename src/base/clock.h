/* Time. All times inside the program are nanoseconds on this machine's monotonic clock unless a name says
 * otherwise; comm/ knows each node's offset to rank 0. */
#ifndef MH_BASE_CLOCK_H
#define MH_BASE_CLOCK_H

#include <stdint.h>

#define MH_US 1000LL
#define MH_MS 1000000LL
#define MH_S  1000000000LL

int64_t mh_now_ns(void);  /* CLOCK_MONOTONIC */
int64_t mh_wall_ns(void); /* CLOCK_REALTIME, since 1970 */
double mh_cpu_s(void);    /* CPU seconds (user + system) of this process so far */
int64_t mh_starved_ns(
    void); /* that its main thread was ready to run and got no core; 0 where the kernel does not say */
int64_t
mh_private_bytes(void); /* memory of this process alone: resident, backed by no file and shared with nobody */
void mh_sleep_ns(int64_t ns);

/* "2026-11-23T21:05:07Z" into text, which holds at least 24 bytes. */
void mh_utc_text(int64_t wall_ns, char text[24]);

#endif
