/* A sign of life: called wherever the program's main thread may spend a while, so that those who watch
 * (comm/watch.h) can tell a rank that works or waits from one that is stuck, stopped or gone. */
#ifndef MH_BASE_ALIVE_H
#define MH_BASE_ALIVE_H

void mh_alive(void);                   /* costs a look at the clock */
void mh_alive_tell(void (*who)(void)); /* who hears of it; NULL: nobody */

#endif
