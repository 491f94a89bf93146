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
    [MH_WRONG_DISTANCE] = "wrong_distance",
    [MH_WRONG_ORDER] = "wrong_order",
    [MH_FILTER_IGNORED] = "filter_ignored",
    [MH_RANGE_IGNORED] = "range_ignored",
    [MH_SURPLUS] = "surplus",
    [MH_MISSED] = "missed",
    [MH_UNREAD] = "unread",
    [MH_NON_MONOTONIC] = "non_monotonic",
    [MH_INVISIBLE] = "invisible",
    [MH_NOT_DROPPED] = "not_dropped",
};

bool mh_is_violation(int kind)
{
    return kind != MH_LATE && kind != MH_INVISIBLE;
}
