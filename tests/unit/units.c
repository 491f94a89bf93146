#include "base/units.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define NOT      INT64_MIN /* the text must be refused */

struct whole_case {
    const char *text;
    int64_t value;
};

static void check_whole(int (*parse)(const char *, int64_t *), const struct whole_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int64_t value = NOT;
        int rc = parse(cases[i].text, &value);
        if (rc != (cases[i].value == NOT ? -1 : 0) || value != cases[i].value)
            fail_msg("'%s': %d, %lld; expected %lld", cases[i].text, rc, (long long)value,
                     (long long)cases[i].value);
    }
}

static void counts(void **state)
{
    (void)state;
    static const struct whole_case cases[] = {
        {"0", 0},
        {"1000", 1000},
        {"10k", 10000},
        {"2.5M", 2500000},
        {"1G", 1000000000},
        {"1.1k", 1100},
        {"3T", 3000000000000},
        {"-5", -5},
        {"007", 7},
        {"9223372036854775807", INT64_MAX},
        {"0.001k", 1},
        {"9223372036854775808", NOT},
        {"99999999999999999999999999999999999999999999", NOT},
        {"10000000000G", NOT},
        {"0.0005k", NOT},
        {"1.5", NOT},
        {"", NOT},
        {"k", NOT},
        {"1.", NOT},
        {".5k", NOT},
        {"1 k", NOT},
        {"1K", NOT},
        {"10kk", NOT},
        {"+1", NOT},
        {"--1", NOT},
        {"-", NOT},
        {"1e3", NOT},
        {"0x10", NOT},
        {" 1", NOT},
        {"1 ", NOT},
        {"1.0000000000000000000000000000000000001k", NOT},
    };
    check_whole(mh_parse_count, cases, COUNT(cases));
}

static void bytes(void **state)
{
    (void)state;
    static const struct whole_case cases[] = {
        {"512", 512},        {"512B", 512},          {"64KiB", 65536},       {"1MiB", 1048576},
        {"2GiB", 1LL << 31}, {"1TiB", 1LL << 40},    {"10MB", 10000000},     {"1kB", 1000},
        {"3GB", 3000000000}, {"1TB", 1000000000000}, {"0.5KiB", 512},        {"1.5MiB", 1572864},
        {"0.3KiB", NOT},     {"64KB", NOT},          {"64kib", NOT},         {"-1", NOT},
        {"64 KiB", NOT},     {"KiB", NOT},           {"9999999999TiB", NOT}, {"", NOT},
    };
    check_whole(mh_parse_bytes, cases, COUNT(cases));
}

static void durations(void **state)
{
    (void)state;
    static const struct whole_case cases[] = {
        {"0", 0},
        {"0s", 0},
        {"7ns", 7},
        {"250us", 250000},
        {"50ms", 50000000},
        {"30s", 30000000000},
        {"2m", 120000000000},
        {"1.5h", 5400000000000},
        {"1d", 86400000000000},
        {"0.1s", 100000000},
        {"1.000000001s", 1000000001},
        {"30", NOT},
        {"00", NOT},
        {"0.5ns", NOT},
        {"-1s", NOT},
        {"1w", NOT},
        {"s", NOT},
        {"1s ", NOT},
        {"1S", NOT},
        {"106752d", NOT},
        {"", NOT},
        {"1m30s", NOT},
    };
    check_whole(mh_parse_duration_ns, cases, COUNT(cases));
}

struct real_case {
    const char *text;
    double value; /* NAN: the text must be refused */
};

static void check_real(int (*parse)(const char *, double *), const struct real_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        double value = NAN;
        int rc = parse(cases[i].text, &value);
        bool refused = isnan(cases[i].value);
        if (rc != (refused ? -1 : 0) || isnan(value) != refused || (!refused && value != cases[i].value))
            fail_msg("'%s': %d, %g; expected %g", cases[i].text, rc, value, cases[i].value);
    }
}

static void rates(void **state)
{
    (void)state;
    static const struct real_case cases[] = {
        {"500/s", 500}, {"10k/s", 10000},       {"30/m", 0.5},    {"1/h", 1.0 / 3600}, {"0.5/s", 0.5},
        {"0/s", 0},     {"2.5M/m", 2.5e6 / 60}, {"500", NAN},     {"0", NAN},          {"500/", NAN},
        {"500/d", NAN}, {"500/sec", NAN},       {"/s", NAN},      {"-1/s", NAN},       {"5kk/s", NAN},
        {"5 /s", NAN},  {"5ms/s", NAN},         {"5kMGT/s", NAN}, {"1/s/s", NAN},      {"", NAN},
    };
    check_real(mh_parse_rate, cases, COUNT(cases));
    char huge[400];
    memset(huge, '9', sizeof huge);
    memcpy(huge + sizeof huge - 3, "/s", 3);
    double value = 1;
    assert_int_equal(mh_parse_rate(huge, &value), -1);
    assert_true(value == 1);
}

static void ratios(void **state)
{
    (void)state;
    static const struct real_case cases[] = {
        {"0.95", 0.95}, {"1%", 0.01}, {"0.1%", 0.1 / 100}, {"100%", 1},   {"0", 0},     {"2", 2},
        {"-0.5", NAN},  {"nan", NAN}, {"inf", NAN},        {"1e-3", NAN}, {"1%%", NAN}, {"1 %", NAN},
        {"%", NAN},     {".5", NAN},  {"5.", NAN},         {"", NAN},
    };
    check_real(mh_parse_ratio, cases, COUNT(cases));
}

struct show_case {
    int64_t value;
    const char *text;
};

static void check_shown(char *(*show)(int64_t, char *, size_t), const struct show_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char text[64], small[4];
        assert_string_equal(show(cases[i].value, text, sizeof text), cases[i].text);
        show(cases[i].value, small, sizeof small);
        assert_memory_equal(small, cases[i].text, strlen(small));
    }
}

static void shown_counts(void **state)
{
    (void)state;
    static const struct show_case cases[] = {
        {0, "0"},          {999, "999"},
        {1000, "1,000"},   {1234567, "1,234,567"},
        {-1234, "-1,234"}, {INT64_MIN, "-9,223,372,036,854,775,808"},
    };
    check_shown(mh_show_count, cases, COUNT(cases));
}

static void shown_bytes(void **state)
{
    (void)state;
    static const struct show_case cases[] = {
        {0, "0 B"},         {512, "512 B"},       {1023, "1023 B"},
        {1024, "1 KiB"},    {1536, "1.5 KiB"},    {641728512, "612 MiB"},
        {1048575, "1 MiB"}, {10 << 20, "10 MiB"}, {12688818, "12.1 MiB"},
        {-2048, "-2 KiB"},  {INT64_MAX, "8 EiB"},
    };
    check_shown(mh_show_bytes, cases, COUNT(cases));
}

static void shown_durations(void **state)
{
    (void)state;
    static const struct show_case cases[] = {
        {0, "0 s"},
        {850, "850 ns"},
        {1230000, "1.23 ms"},
        {4500000000, "4.5 s"},
        {999499, "999 us"},
        {999960, "1 ms"},
        {999999999, "1 s"},
        {59940000000, "59.9 s"},
        {59960000000, "1 m"},
        {60000000000, "1 m"},
        {125000000000, "2 m 5 s"},
        {3599600000000, "1 h"},
        {3600000000000, "1 h"},
        {3725000000000, "1 h 2 m"},
        {86399000000000, "1 d"},
        {97200000000000, "1 d 3 h"},
        {-1500000, "-1.5 ms"},
    };
    check_shown(mh_show_duration, cases, COUNT(cases));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts),      cmocka_unit_test(bytes),           cmocka_unit_test(durations),
        cmocka_unit_test(rates),       cmocka_unit_test(ratios),          cmocka_unit_test(shown_counts),
        cmocka_unit_test(shown_bytes), cmocka_unit_test(shown_durations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
