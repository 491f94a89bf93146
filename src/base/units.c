#include "base/units.h"

#include "base/clock.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *name;
    int64_t size;
};

static const struct unit count_units[] = {{"", 1},           {"k", 1000},          {"M", 1000000},
                                          {"G", 1000000000}, {"T", 1000000000000}, {NULL, 0}};

static const struct unit byte_units[] = {{"", 1},
                                         {"B", 1},
                                         {"KiB", 1LL << 10},
                                         {"MiB", 1LL << 20},
                                         {"GiB", 1LL << 30},
                                         {"TiB", 1LL << 40},
                                         {"kB", 1000},
                                         {"MB", 1000000},
                                         {"GB", 1000000000},
                                         {"TB", 1000000000000},
                                         {NULL, 0}};

static const struct unit duration_units[] = {{"ns", 1},           {"us", MH_US},    {"ms", MH_MS},
                                             {"s", MH_S},         {"m", 60 * MH_S}, {"h", 3600 * MH_S},
                                             {"d", 86400 * MH_S}, {NULL, 0}};

/* Length of "12" or "12.5" at the start of text; 0 when there is none. */
static size_t number_length(const char *text)
{
    size_t whole = strspn(text, "0123456789");
    if (whole == 0 || text[whole] != '.')
        return whole;
    size_t part = strspn(text + whole + 1, "0123456789");
    return part == 0 ? 0 : whole + 1 + part;
}

static int64_t unit_size(const struct unit *units, const char *name)
{
    for (; units->name; units++)
        if (strcmp(units->name, name) == 0)
            return units->size;
    return 0;
}

/* In whole numbers, because 0.1 has no binary twin: "1.1k" is 1100 and not 1100.0000000000002. */
static int scale(const char *digits, size_t length, int64_t unit, int64_t *out)
{
    unsigned __int128 value = 0, divisor = 1;
    bool after_point = false;
    for (size_t i = 0; i < length; i++) {
        if (digits[i] == '.') {
            after_point = true;
            continue;
        }
        value = value * 10 + (unsigned)(digits[i] - '0');
        divisor *= after_point ? 10 : 1;
        if (value > INT64_MAX || divisor > INT64_MAX)
            return -1;
    }
    value *= (unsigned __int128)unit;
    if (value % divisor != 0 || value / divisor > INT64_MAX)
        return -1;
    *out = (int64_t)(value / divisor);
    return 0;
}

static int parse_units(const char *text, const struct unit *units, int64_t *out)
{
    size_t length = number_length(text);
    int64_t unit = unit_size(units, text + length);
    if (length == 0 || unit == 0)
        return -1;
    return scale(text, length, unit, out);
}

int mh_parse_count(const char *text, int64_t *out)
{
    bool negative = text[0] == '-';
    int64_t value;
    if (parse_units(text + negative, count_units, &value))
        return -1;
    *out = negative ? -value : value;
    return 0;
}

int mh_parse_bytes(const char *text, int64_t *out)
{
    return parse_units(text, byte_units, out);
}

int mh_parse_duration_ns(const char *text, int64_t *out)
{
    if (strcmp(text, "0") == 0) {
        *out = 0;
        return 0;
    }
    return parse_units(text, duration_units, out);
}

int mh_parse_rate(const char *text, double *out)
{
    size_t length = number_length(text);
    const char *slash = strchr(text, '/');
    if (length == 0 || !slash || slash[1] == '\0' || slash[2] != '\0')
        return -1;
    char prefix[4] = "";
    size_t prefix_length = (size_t)(slash - text) - length;
    if (prefix_length >= sizeof prefix)
        return -1;
    memcpy(prefix, text + length, prefix_length);
    int64_t unit = unit_size(count_units, prefix);
    double seconds = slash[1] == 's' ? 1 : slash[1] == 'm' ? 60 : slash[1] == 'h' ? 3600 : 0;
    double value = strtod(text, NULL) * (double)unit / seconds;
    if (unit == 0 || seconds == 0 || !isfinite(value))
        return -1;
    *out = value;
    return 0;
}

int mh_parse_ratio(const char *text, double *out)
{
    size_t length = number_length(text);
    bool percent = strcmp(text + length, "%") == 0;
    if (length == 0 || (text[length] != '\0' && !percent))
        return -1;
    double value = strtod(text, NULL);
    if (!isfinite(value))
        return -1;
    *out = percent ? value / 100 : value;
    return 0;
}

char *mh_show_count(int64_t value, char *text, size_t size)
{
    char digits[24], grouped[40], *to = grouped;
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    int length = snprintf(digits, sizeof digits, "%" PRIu64, magnitude);
    if (value < 0)
        *to++ = '-';
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    snprintf(text, size, "%s", grouped);
    return text;
}

/* Three digits that count, without idle zeros: 1.23, 12.3, 123, 4.5, 7. */
static void show_three(double value, char text[32])
{
    int decimals = value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    snprintf(text, 32, "%.*f", decimals, value);
    if (decimals == 0)
        return;
    char *end = text + strlen(text);
    while (end[-1] == '0')
        *--end = '\0';
    if (end[-1] == '.')
        end[-1] = '\0';
}

char *mh_show_bytes(int64_t bytes, char *text, size_t size)
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = fabs((double)bytes);
    size_t unit = 0;
    /* 1023.5 would be shown as 1024 of the smaller unit. */
    while (value >= 1023.5 && unit + 1 < sizeof names / sizeof *names) {
        value /= 1024;
        unit++;
    }
    char number[32];
    show_three(value, number);
    snprintf(text, size, "%s%s %s", bytes < 0 ? "-" : "", number, names[unit]);
    return text;
}

/* "2 m 5 s": whole units, the second only when it is not zero. */
static void show_long(int64_t ns, char *text, size_t size)
{
    static const struct unit steps[] = {{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}};
    int64_t seconds = ns / MH_S + (ns % MH_S >= MH_S / 2);
    size_t i = 0;
    while (i < 2 && seconds < steps[i].size)
        i++;
    /* What stands behind the second unit is rounded into it, so that 59 m 59.9 s is 1 h. */
    int64_t small = (seconds + steps[i + 1].size / 2) / steps[i + 1].size;
    int64_t ratio = steps[i].size / steps[i + 1].size;
    int64_t large = small / ratio;
    small %= ratio;
    if (i > 0 && large * steps[i].size == steps[i - 1].size)
        snprintf(text, size, "1 %s", steps[i - 1].name);
    else if (small == 0)
        snprintf(text, size, "%" PRId64 " %s", large, steps[i].name);
    else
        snprintf(text, size, "%" PRId64 " %s %" PRId64 " %s", large, steps[i].name, small, steps[i + 1].name);
}

char *mh_show_duration(int64_t ns, char *text, size_t size)
{
    static const struct unit steps[] = {{"ns", 1}, {"us", MH_US}, {"ms", MH_MS}, {"s", MH_S}};
    if (ns < 0) {
        char positive[64];
        mh_show_duration(ns == INT64_MIN ? INT64_MAX : -ns, positive, sizeof positive);
        snprintf(text, size, "-%s", positive);
        return text;
    }
    if (ns >= 59950 * MH_MS) {
        show_long(ns, text, size);
        return text;
    }
    size_t i = 0;
    while (i < 3 && (double)ns / (double)steps[i].size >= 999.5)
        i++;
    char number[32];
    show_three((double)ns / (double)steps[i].size, number);
    snprintf(text, size, "%s %s", number, ns == 0 ? "s" : steps[i].name);
    return text;
}
