#include "truth/violation.h"

const char *const mh_wrong_names[MH_WRONGS] = {
    [MH_LOST] = "lost",
    [MH_LATE] = "late",
    [MH_STALE] = "stale",
    [MH_DUPLICATED] = "duplicated",
    [MH_RESURRECTED] = "resurrected",
    [MH_UNEXPECTED] = "unexpected",
    [MH_MISPLACED] = "misplaced",
    [MH_CORRUPTED] = "corrupted",
    [MH_MISCOUNTED] = "miscounted",
};
