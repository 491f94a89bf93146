/* Does a person read this output as it comes? */
#ifndef MH_BASE_TERMINAL_H
#define MH_BASE_TERMINAL_H

#include <stdbool.h>

/* `fd`: 1 or 2. Under mpirun a rank's standard output is a pseudo-terminal and its standard error a pipe,
 * whatever the user sees: there the launcher's own descriptor is asked, which works on the launcher's node;
 * elsewhere it is no terminal. */
bool mh_is_terminal(int fd);

int mh_terminal_width(int fd); /* columns; 80 where nobody can say */

#endif
