#include "base/alive.h"

#include <stddef.h>

static void (*listener)(void);

void mh_alive(void)
{
    if (listener)
        listener();
}

void mh_alive_tell(void (*who)(void))
{
    listener = who;
}
