#include "command/command.h"
int mh_command_merge(const struct mh_arguments *a){(void)a;return 3;}
