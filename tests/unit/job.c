#include "job/job.h"

#include "base/clock.h"
#include "base/random.h"
#include "job/names.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

/* ---- roles to read ---- */

struct writer_own {
    int partition;
};

static const char *const partition_names[] = {"own", "shared", NULL};

static const struct mh_option writer_rows[] = {
    MH_ROLE_COUNT,
    MH_ROLE_ROWS("1000"),
    MH_ROLE_BATCH("100"),
    MH_ROLE_INFLIGHT("1"),
    MH_ROLE_RATE,
    MH_ROLE_ARRIVAL,
    {.name = "partition",
     .type = MH_OPTION_CHOICE,
     .base = MH_IN_OWN,
     .offset = offsetof(struct writer_own, partition),
     .choices = partition_names,
     .fallback = "own",
     .help = "where the rows go"},
    {.name = NULL},
};

static const struct mh_option deleter_rows[] = {MH_ROLE_COUNT, MH_ROLE_BATCH("100"), {.name = NULL}};

struct searcher_own {
    int64_t topk;
    char *filter;
};

static const struct mh_option searcher_rows[] = {
    MH_ROLE_COUNT,
    MH_ROLE_FOR,
    MH_ROLE_OPS,
    MH_ROLE_RATE,
    MH_ROLE_ARRIVAL,
    {.name = "topk",
     .type = MH_OPTION_INT,
     .base = MH_IN_OWN,
     .offset = offsetof(struct searcher_own, topk),
     .min = 1,
     .max = 16384,
     .fallback = "10",
     .unit = "hits",
     .help = "hits to ask for"},
    {.name = "filter",
     .type = MH_OPTION_TEXT,
     .base = MH_IN_OWN,
     .offset = offsetof(struct searcher_own, filter),
     .help = "only rows that satisfy this"},
    {.name = NULL},
};

static const struct mh_role_kind writer = {"writer", "writes rows", writer_rows, sizeof(struct writer_own)};
static const struct mh_role_kind deleter = {"deleter", "deletes rows", deleter_rows, 0};
static const struct mh_role_kind searcher = {"searcher", "searches", searcher_rows,
                                             sizeof(struct searcher_own)};
static const struct mh_role_kind *const kinds[] = {&writer, &deleter, &searcher, NULL};

/* ---- texts to read ---- */

/* A file of tests/unit/job/. */
static char *material(const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%.*sjob/%s", (int)(strrchr(__FILE__, '/') + 1 - __FILE__), __FILE__, name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    char *text = calloc(1, 1 << 16);
    size_t length = fread(text, 1, (1 << 16) - 1, file);
    fclose(file);
    assert_true(length > 0);
    return text;
}

static char *replaced(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);
    if (!at)
        fail_msg("good.yaml does not hold '%s'", from);
    size_t size = strlen(text) + strlen(to) + 1;
    char *result = malloc(size);
    snprintf(result, size, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    return result;
}

static const char minimal[] =
    "collection:\n"
    "  name: c\n"
    "  fields: [{name: id, type: int64, primary: true}, {name: v, type: float_vector}]\n"
    "dataset: {synthetic: {rows: 10k}}\n"
    "stages: [{name: s, roles: [{role: writer}]}]\n";

static struct mh_job *parse(const char *text, const char *const *sets, size_t set_count)
{
    struct mh_job *job = NULL;
    struct mh_error err = {""};
    if (mh_job_parse("job.yaml", text, sets, set_count, kinds, &job, &err))
        fail_msg("%s", err.text);
    return job;
}

static const struct mh_option_value *value_of(const struct mh_job *job, const char *path)
{
    for (size_t i = 0; i < job->value_count; i++)
        if (strcmp(job->values[i].path, path) == 0)
            return &job->values[i];
    fail_msg("no value of %s", path);
    return NULL;
}

static void assert_value(const struct mh_job *job, const char *path, const char *value, const char *origin)
{
    assert_string_equal(value_of(job, path)->value, value);
    assert_string_equal(value_of(job, path)->origin, origin);
}

static void assert_refused(const char *text, const char *const *sets, size_t set_count, const char *message)
{
    struct mh_job *job = NULL;
    struct mh_error err = {""};
    assert_int_equal(mh_job_parse("job.yaml", text, sets, set_count, kinds, &job, &err), -1);
    assert_null(job);
    assert_string_equal(err.text, message);
}

/* ---- what is good ---- */

static void sections_are_read(void **state)
{
    (void)state;
    char *text = material("good.yaml");
    struct mh_job *job = parse(text, NULL, 0);
    assert_string_equal(job->path, "job.yaml");
    assert_string_equal(job->text, text);
    assert_int_equal(job->server.uris.count, 1);
    assert_string_equal(job->server.uris.items[0], "http://127.0.0.1:19530");
    assert_int_equal(job->server.timeout_ns, 30 * MH_S);
    assert_int_equal(job->server.connections, 2);
    assert_string_equal(job->dataset.path, "data/mnist-784-euclidean.hdf5");
    assert_int_equal(job->collection.index.metric, MH_METRIC_L2);
    assert_string_equal(job->collection.index.params, "{\"nlist\": 256}");
    assert_int_equal(job->retry.backoff_ns[0], 50 * MH_MS);
    assert_int_equal(job->retry.backoff_ns[1], 5 * MH_S);
    assert_int_equal(job->verify.recheck, MH_RECHECK_FLUSH | MH_RECHECK_RELOAD);
    assert_true(job->verify.vectors == 0.01);
    const struct mh_field *fields = job->collection.fields.items;
    assert_int_equal(job->collection.fields.count, 3);
    assert_true(fields[0].primary && fields[0].type == MH_FIELD_INT64);
    assert_true(fields[1].type == MH_FIELD_FLOAT_VECTOR && fields[1].dim == 0);
    assert_true(fields[2].type == MH_FIELD_VARCHAR && fields[2].max_length == 64);
    mh_job_free(job);
    free(text);
}

static void roles_and_thresholds_are_read(void **state)
{
    (void)state;
    char *text = material("good.yaml");
    struct mh_job *job = parse(text, NULL, 0);
    assert_int_equal(job->stage_count, 2);
    assert_int_equal(job->stages[0].role_count, 3);
    const struct mh_role_options *role = job->stages[0].roles;
    assert_ptr_equal(role[0].kind, &writer);
    assert_true(role[0].count == 20 && role[0].rows == 10000 && role[0].batch == 1000 &&
                role[0].inflight == 2);
    assert_int_equal(((struct writer_own *)role[0].own)->partition, 0);
    assert_ptr_equal(role[1].kind, &deleter);
    assert_true(role[2].kind == &writer && role[2].rows == 7 && role[2].count == 1);
    role = job->stages[1].roles;
    const struct searcher_own *own = role->own;
    assert_true(role->count == -1 && role->rate == 500 && role->arrival == MH_ARRIVAL_POISSON);
    assert_true(role->for_ns == 60 * MH_S && own->topk == 10);
    assert_string_equal(own->filter, "varchar_field like \"prefix%\"");
    assert_int_equal(job->threshold_count, 3);
    assert_string_equal(job->thresholds[0].figure, "search.p99");
    assert_true(job->thresholds[0].comparison == MH_LESS && job->thresholds[0].value == 5e7);
    assert_true(job->thresholds[0].line == 25 && job->thresholds[0].column == 26);
    assert_true(job->thresholds[1].comparison == MH_AT_LEAST && job->thresholds[1].value == 0.95);
    assert_true(job->thresholds[2].comparison == MH_AT_MOST && job->thresholds[2].value == 0.1 / 100);
    mh_job_free(job);
    free(text);
}

static void defaults_are_set(void **state)
{
    (void)state;
    struct mh_job *job = parse(minimal, NULL, 0);
    assert_string_equal(job->server.uris.items[0], "http://127.0.0.1:19530");
    assert_string_equal(job->server.token, "");
    assert_string_equal(job->server.tls.ca, "");
    assert_true(job->server.timeout_ns == 30 * MH_S && job->server.connections == 1);
    assert_string_equal(job->dataset.path, "");
    assert_string_equal(job->dataset.train, "train");
    assert_string_equal(job->dataset.neighbors, "neighbors");
    assert_true(job->dataset.rows == 0 && job->dataset.synthetic.rows == 10000);
    assert_true(job->collection.shards == 1 && job->collection.consistency == MH_STRONG);
    assert_false(job->collection.replace);
    assert_string_equal(job->collection.index.field, "");
    assert_string_equal(job->collection.index.type, "IVF_FLAT");
    assert_string_equal(job->collection.index.params, "{\"nlist\": 128}");
    assert_int_equal(job->collection.index.metric, MH_METRIC_AUTO);
    assert_true(job->retry.max == 8 && job->retry.backoff_ns[1] == 5 * MH_S);
    assert_true(job->verify.enabled && job->verify.recheck == 3 && job->verify.vectors == 0.01);
    assert_true(job->verify.grace_ns == 30 * MH_S && job->verify.allow == 0);
    assert_true(job->threshold_count == 0 && job->stages[0].roles[0].rows == 1000);
    assert_value(job, "server.uri", "http://127.0.0.1:19530", "default");
    assert_value(job, "stages.s.writer.rate", "", "default");
    assert_value(job, "verify.allow", "[]", "default");
    assert_value(job, "dataset.synthetic.rows", "10000", "job.yaml:4:29");
    mh_job_free(job);
}

static void every_value_has_its_origin(void **state)
{
    (void)state;
    char *text = material("good.yaml"), *expected = material("values.txt"), *at = expected;
    static const char *const sets[] = {"stages.crud.writer[1].rows=8", "thresholds.search.p99=> 20ms"};
    struct mh_job *job = parse(text, sets, COUNT(sets));
    for (size_t i = 0; i < job->value_count; i++) {
        char line[512];
        size_t length = (size_t)snprintf(line, sizeof line, "%s | %s | %s\n", job->values[i].path,
                                         job->values[i].value, job->values[i].origin);
        if (strncmp(at, line, length) != 0)
            fail_msg("values.txt: expected '%.*s', got '%s'", (int)strcspn(at, "\n"), at, line);
        at += length;
    }
    assert_string_equal(at, "");
    mh_job_free(job);
    free(text);
    free(expected);
}

static void params_default_fits_the_index(void **state)
{
    (void)state;
    static const struct {
        const char *set, *params;
    } cases[] = {
        {"collection.index.type=HNSW", "{}"},
        {"collection.index.type=FLAT", "{}"},
        {"collection.index.type=IVF_SQ8", "{\"nlist\": 128}"},
        {"collection.index={type: HNSW, params: {M: 16, efConstruction: 200}}",
         "{\"M\": 16, \"efConstruction\": 200}"},
        {"collection.index.params={a: 1.5, b: x, c: true, d: \"1\", e: [1, -2], f: 007, g: 1e3, h: 1_0}",
         "{\"a\": 1.5, \"b\": \"x\", \"c\": true, \"d\": \"1\", \"e\": [1, -2], \"f\": \"007\", \"g\": "
         "1000.0, "
         "\"h\": \"1_0\"}"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct mh_job *job = parse(minimal, &cases[i].set, 1);
        assert_string_equal(job->collection.index.params, cases[i].params);
        assert_string_equal(value_of(job, "collection.index.params")->value, cases[i].params);
        mh_job_free(job);
    }
}

static void servers_are_taken(void **state)
{
    (void)state;
    static const struct {
        const char *set, *value;
        size_t count;
    } cases[] = {
        {"server.uri=http://localhost:1", "http://localhost:1", 1},
        {"server.uri=https://db-0.example.org:65535", "https://db-0.example.org:65535", 1},
        {"server.uri=http://[::1]:19530", "\"http://[::1]:19530\"", 1},
        {"server={uri: https://a:1, tls: {ca: x.pem, cert: c.pem, key: k.pem, server_name: n}}",
         "https://a:1", 1},
        {"server={uris: [http://a:1, http://b:2]}", NULL, 2},
        {"server.uris=http://a:1", NULL, 1},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct mh_job *job = parse(minimal, &cases[i].set, 1);
        assert_int_equal(job->server.uris.count, cases[i].count);
        if (cases[i].value)
            assert_value(job, "server.uri", cases[i].value, "--set");
        else
            assert_string_equal(value_of(job, "server.uris")->origin, "--set");
        mh_job_free(job);
    }
}

/* ---- types ---- */

struct sampler {
    bool flag;
    int64_t whole, bytes, duration, range[2];
    double rate, ratio, sample;
    char *text, *params;
    int choice;
    uint32_t choices;
    struct mh_texts texts;
};

#define OWN(NAME, TYPE, FIELD)                                                                               \
    {                                                                                                        \
        .name = NAME, .type = TYPE, .base = MH_IN_OWN, .offset = offsetof(struct sampler, FIELD),            \
        .help = "of this type", .choices = partition_names                                                   \
    }

static const struct mh_option sampler_rows[] = {
    OWN("flag", MH_OPTION_BOOL, flag),
    OWN("whole", MH_OPTION_INT, whole),
    OWN("bytes", MH_OPTION_BYTES, bytes),
    OWN("duration", MH_OPTION_DURATION, duration),
    OWN("range", MH_OPTION_DURATION_RANGE, range),
    OWN("rate", MH_OPTION_RATE, rate),
    OWN("ratio", MH_OPTION_RATIO, ratio),
    OWN("sample", MH_OPTION_SAMPLE, sample),
    OWN("text", MH_OPTION_TEXT, text),
    OWN("params", MH_OPTION_PARAMS, params),
    OWN("choice", MH_OPTION_CHOICE, choice),
    OWN("choices", MH_OPTION_CHOICES, choices),
    OWN("texts", MH_OPTION_TEXTS, texts),
    MH_ROLE_COUNT,
    {.name = NULL},
};

static const struct mh_role_kind sampler = {"sampler", "has one of each type", sampler_rows,
                                            sizeof(struct sampler)};
static const struct mh_role_kind *const sampler_kinds[] = {&sampler, NULL};

static const char sampler_job[] =
    "collection:\n"
    "  name: c\n"
    "  fields: [{name: id, type: int64, primary: true}, {name: v, type: float_vector}]\n"
    "dataset: {synthetic: {rows: 10k}}\n"
    "stages: [{name: s, roles: [{role: sampler}]}]\n";

static char *printed(const char *option, const char *value)
{
    char set[256], path[128];
    const char *sets[] = {set};
    struct mh_job *job = NULL;
    struct mh_error err;
    snprintf(set, sizeof set, "stages.s.sampler.%s=%s", option, value);
    snprintf(path, sizeof path, "stages.s.sampler.%s", option);
    if (mh_job_parse("job.yaml", sampler_job, sets, 1, sampler_kinds, &job, &err))
        fail_msg("%s", err.text);
    assert_non_null(((const struct sampler *)job->stages[0].roles[0].own)->text);
    char *text = strdup(value_of(job, path)->value);
    mh_job_free(job);
    return text;
}

/* Read, printed, and read again as printed. */
static void types_are_printed_as_they_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *option, *value, *printed;
    } cases[] = {
        {"flag", "true", "true"},
        {"flag", "false", "false"},
        {"whole", "2.5M", "2500000"},
        {"whole", "-7", "-7"},
        {"whole", "\"12\"", "12"},
        {"count", "all", "all"},
        {"count", "1k", "1000"},
        {"bytes", "65536", "64KiB"},
        {"bytes", "1000", "1000"},
        {"bytes", "3GiB", "3GiB"},
        {"bytes", "0", "0"},
        {"duration", "1500ms", "1500ms"},
        {"duration", "90s", "90s"},
        {"duration", "1.5h", "90m"},
        {"duration", "48h", "2d"},
        {"duration", "0", "0s"},
        {"duration", "1ns", "1ns"},
        {"range", "0..1m", "0s..1m"},
        {"range", "5s..5s", "5s..5s"},
        {"rate", "10k/s", "10000/s"},
        {"rate", "30/m", "0.5/s"},
        {"rate", "1/h", "0.0002777777777777778/s"},
        {"ratio", "1%", "0.01"},
        {"ratio", "0.1", "0.1"},
        {"sample", "all", "all"},
        {"sample", "none", "none"},
        {"sample", "sample 2.5%", "sample 2.5%"},
        {"sample", "sample 0.001", "sample 0.1%"},
        {"sample", "sample 100%", "all"},
        {"text", "plain/text-1.0_x", "plain/text-1.0_x"},
        {"text", "two words", "\"two words\""},
        {"text", "\"true\"", "\"true\""},
        {"text", "\"12\"", "\"12\""},
        {"text", "12", "\"12\""},
        {"text", "", "\"\""},
        {"text", "\"null\"", "\"null\""},
        {"text", "\"a: b # c\"", "\"a: b # c\""},
        {"text", "'say \"x\"'", "\"say \\\"x\\\"\""},
        {"text", "\"z\xc3\xbcrich\\n\"", "\"z\xc3\xbcrich\\n\""},
        {"params", "{a: {b: [1, x]}}", "{\"a\": {\"b\": [1, \"x\"]}}"},
        {"params", "{}", "{}"},
        {"choice", "shared", "shared"},
        {"choices", "shared", "[shared]"},
        {"choices", "[shared, own]", "[own, shared]"},
        {"choices", "[]", "[]"},
        {"texts", "one", "[one]"},
        {"texts", "[one, \"t w o\"]", "[one, \"t w o\"]"},
        {"texts", "[]", "[]"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *once = printed(cases[i].option, cases[i].value);
        assert_string_equal(once, cases[i].printed);
        char *twice = printed(cases[i].option, once);
        assert_string_equal(twice, once);
        free(once);
        free(twice);
    }
}

static void thresholds_take_all_units(void **state)
{
    (void)state;
    static const struct {
        const char *set;
        enum mh_comparison comparison;
        double value;
    } cases[] = {
        {"thresholds.a.b.c=< 20ms", MH_LESS, 2e7},
        {"thresholds.x=<=20ms", MH_AT_MOST, 2e7},
        {"thresholds.x=> 5", MH_MORE, 5},
        {"thresholds.x=\">= 10k/s\"", MH_AT_LEAST, 10000},
        {"thresholds.x=<  1.5%", MH_LESS, 1.5 / 100},
        {"thresholds.x=< 2m", MH_LESS, 120e9},
        {"thresholds.x=< 2M", MH_LESS, 2e6},
        {"thresholds.x=< 1GiB", MH_LESS, 1073741824},
        {"thresholds.x=< 0.5", MH_LESS, 0.5},
        {"thresholds.x=< 0", MH_LESS, 0},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct mh_job *job = parse(minimal, &cases[i].set, 1);
        assert_int_equal(job->threshold_count, 1);
        assert_int_equal(job->thresholds[0].comparison, cases[i].comparison);
        assert_true(job->thresholds[0].value == cases[i].value);
        assert_string_equal(job->thresholds[0].figure, i == 0 ? "a.b.c" : "x");
        assert_true(isnan(job->thresholds[0].drift_per_hour));
        mh_job_free(job);
    }
}

static void drifts_are_so_much_an_hour(void **state)
{
    (void)state;
    static const struct {
        const char *set;
        double drift;
        bool is_ratio;
        double value; /* where the text may be meant of something else */
    } cases[] = {
        {"thresholds.x=< 1%/h", 0.01, true, NAN},         {"thresholds.x=< 10MiB/h", 10 << 20, false, NAN},
        {"thresholds.x=< 5ms/h", 5e6, false, NAN},        {"thresholds.x=> 36/h", 36, false, 0.01},
        {"thresholds.x=< 0.5/h", 0.5, false, 0.5 / 3600},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct mh_job *job = parse(minimal, &cases[i].set, 1);
        const struct mh_threshold *t = &job->thresholds[0];
        assert_true(t->drift_per_hour == cases[i].drift && t->drift_is_ratio == cases[i].is_ratio);
        assert_true(isnan(cases[i].value) ? isnan(t->value) : t->value == cases[i].value);
        mh_job_free(job);
    }
}

/* ---- --set ---- */

static void sets_override_the_file(void **state)
{
    (void)state;
    static const char *const sets[] = {
        "stages.crud.writer.rows=500",
        "stages.crud.writer[1].batch=3",
        "stages.crud.writer[0].batch=4",
        "stages.load_up.searcher.filter=id in [1, 2]",
        "server.timeout=1s",
        "server.timeout=2s",
        "thresholds.crud.p50=>= 1ms",
        "collection.index.params.nprobe=8",
        "collection.fields.vector.dim=16",
        "verify.recheck=flush",
        "dataset.synthetic.rows=1k",
    };
    char *text = material("good.yaml");
    struct mh_job *job = parse(text, sets, COUNT(sets));
    assert_true(job->stages[0].roles[0].rows == 500 && job->stages[0].roles[2].rows == 500);
    assert_true(job->stages[0].roles[0].batch == 4 && job->stages[0].roles[2].batch == 3);
    assert_string_equal(((struct searcher_own *)job->stages[1].roles[0].own)->filter, "id in [1, 2]");
    assert_int_equal(job->server.timeout_ns, 2 * MH_S);
    assert_string_equal(job->thresholds[3].figure, "crud.p50");
    assert_string_equal(job->collection.index.params, "{\"nlist\": 256, \"nprobe\": 8}");
    assert_int_equal(((struct mh_field *)job->collection.fields.items)[1].dim, 16);
    assert_int_equal(job->verify.recheck, MH_RECHECK_FLUSH);
    assert_true(job->dataset.synthetic.rows == 1000 && *job->dataset.path == '\0');
    assert_value(job, "stages.crud.writer[1].rows", "500", "--set");
    assert_value(job, "collection.fields.vector.dim", "16", "--set");
    mh_job_free(job);
    free(text);
}

static void sets_replace_whole_lists(void **state)
{
    (void)state;
    static const char *const sets[] = {
        "collection.fields=[{name: k, type: int64, primary: true}, {name: w, type: float_vector, dim: 4}]",
        "stages=[{name: only, roles: [{role: deleter}, {role: writer}]}]",
        "stages.only.writer.rows=9",
        "collection.index.field=w",
    };
    char *text = material("good.yaml");
    struct mh_job *job = parse(text, sets, COUNT(sets));
    assert_int_equal(job->collection.fields.count, 2);
    assert_int_equal(job->stage_count, 1);
    assert_value(job, "stages.only.writer.rows", "9", "--set");
    mh_job_free(job);
    free(text);
}

/* ---- what is refused ---- */

static void bad_jobs_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *message;
    } cases[] = {
#include "job/refused.inc"
    };
    char *good = material("good.yaml");
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *text = replaced(good, cases[i].from, cases[i].to);
        assert_refused(text, NULL, 0, cases[i].message);
        free(text);
    }
    free(good);
}

static void bad_sets_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *set, *message;
    } cases[] = {
#include "job/refused_sets.inc"
    };
    char *good = material("good.yaml");
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_refused(good, &cases[i].set, 1, cases[i].message);
    free(good);
}

static void what_is_no_mapping_is_refused(void **state)
{
    (void)state;
#define EXPECTED "expected a mapping with collection, dataset, stages, ..."
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"", "job.yaml:1:1: the file is empty; " EXPECTED},
        {"# only this\n", "job.yaml:1:1: the file is empty; " EXPECTED},
        {"---\n...\n", "job.yaml:1:1: the file is empty; " EXPECTED},
        {"~", "job.yaml:1:1: the file is empty; " EXPECTED},
        {"\n  hello\n", "job.yaml:2:3: a text stands here; " EXPECTED},
        {"[1]", "job.yaml:1:1: a list stands here; " EXPECTED},
        {"{}", "job.yaml:1:1: collection: 'name' is missing (name of the collection)"},
        {"%FOO", "job.yaml:1:5: not YAML: while scanning a directive, found unknown directive name"},
        {"@x",
         "job.yaml:1:1: not YAML: while scanning for the next token, found character that cannot start any "
         "token"},
        {"a: \xff", "job.yaml:1:4: not YAML: invalid leading UTF-8 octet"},
        {"a: \x01", "job.yaml:1:4: not YAML: control characters are not allowed"},
        {"server: 5", "job.yaml:1:9: server: a text stands here; expected a mapping"},
        {"server:", "job.yaml:1:8: server: no value stands here; expected a mapping"},
        {"collection: {name: c, fields: []}",
         "job.yaml:1:31: collection.fields: a list of 0; allowed: 1 .. 64 fields"},
        {"collection: {name: c, fields: {}}",
         "job.yaml:1:31: collection.fields: a mapping stands here; expected a list"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_refused(cases[i].text, NULL, 0, cases[i].message);
}

static void very_wide_mappings_are_refused(void **state)
{
    (void)state;
    char *text = calloc(1, 1 << 15), *at = text;
    at += sprintf(at, "thresholds:\n");
    for (int i = 0; i <= 1000; i++)
        at += sprintf(at, "  figure_%d: \"< 1\"\n", i);
    assert_refused(text, NULL, 0, "job.yaml:2:3: a mapping of more than 1000 keys");
    free(text);
}

static void near_names_are_found(void **state)
{
    (void)state;
    static const char *const known[] = {"batch", "rows", "L2", "consistency", "a"};
    static const struct {
        const char *name, *nearest;
    } cases[] = {
        {"bacth", "batch"}, {"batches", "batch"},   {"row", "rows"},
        {"ROWS", "rows"},   {"l2", "L2"},           {"consitsency", "consistency"},
        {"consist", NULL},  {"horse", NULL},        {"b", NULL},
        {"", NULL},         {"rowsrowsrows", NULL},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        const char *nearest = mh_nearest(cases[i].name, known, COUNT(known));
        if (cases[i].nearest)
            assert_string_equal(nearest, cases[i].nearest);
        else
            assert_null(nearest);
    }
}

/* ---- reading files ---- */

struct file {
    char path[64];
};

static void write_file(struct file *file, const char *text, size_t length)
{
    strcpy(file->path, "/tmp/mh-job-XXXXXX");
    int fd = mkstemp(file->path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, length), length);
    close(fd);
}

static void assert_expands(const char *text, const char *expected)
{
    struct file file;
    struct mh_error err;
    char *got = NULL;
    write_file(&file, text, strlen(text));
    int rc = mh_job_read(file.path, &got, &err);
    unlink(file.path);
    if (rc)
        fail_msg("%s", err.text);
    assert_string_equal(got, expected);
    free(got);
}

static void variables_are_expanded(void **state)
{
    (void)state;
    setenv("MH_TEST_A", "one", 1);
    setenv("MH_TEST_EMPTY", "", 1);
    unsetenv("MH_TEST_NONE");
    assert_expands("a: ${MH_TEST_A}\n", "a: one\n");
    assert_expands("${MH_TEST_A}${MH_TEST_A:-two}", "oneone");
    assert_expands("${MH_TEST_NONE:-two} ${MH_TEST_NONE:-}.", "two .");
    assert_expands("${MH_TEST_EMPTY:-two} ${MH_TEST_EMPTY}.", "two .");
    assert_expands("${MH_TEST_NONE:-http://[::1]:1}", "http://[::1]:1");
    assert_expands("$${MH_TEST_A} $$ $5 $", "${MH_TEST_A} $ $5 $");
    assert_expands("$$${MH_TEST_A}", "$one");
    assert_expands("a: 1\n  # ${MH_TEST_NONE} $$\nb: $$\n", "a: 1\n  # ${MH_TEST_NONE} $$\nb: $\n");
    assert_expands("z\xc3\xbcrich \xe2\x82\xac \xf0\x9f\x98\x80",
                   "z\xc3\xbcrich \xe2\x82\xac \xf0\x9f\x98\x80");
    assert_expands("", "");
}

static void assert_unreadable(const char *text, size_t length, const char *message)
{
    struct file file;
    struct mh_error err = {""};
    char *got = NULL, expected[512];
    write_file(&file, text, length);
    int rc = mh_job_read(file.path, &got, &err);
    unlink(file.path);
    snprintf(expected, sizeof expected, "%s%s", file.path, message);
    assert_int_equal(rc, -1);
    assert_null(got);
    assert_string_equal(err.text, expected);
}

static void bad_texts_are_not_read(void **state)
{
    (void)state;
    setenv("MH_TEST_LINES", "a\nb", 1);
    setenv("MH_TEST_BYTES", "\xff", 1);
    unsetenv("MH_TEST_NONE");
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"a: 1\nb\xc3\xbc: ${MH_TEST_NONE}",
         ":2:5: the environment variable MH_TEST_NONE is not set; set it or write ${MH_TEST_NONE:-default}"},
        {"a: ${MH_TEST_LINES}", ":1:4: the environment variable MH_TEST_LINES holds a line break"},
        {"a: ${MH_TEST_BYTES}", ":1:4: the environment variable MH_TEST_BYTES is not UTF-8"},
        {"a: ${X", ":1:4: '${' is not closed by '}' on its line; write $$ for a dollar"},
        {"a: ${X\n}", ":1:4: '${' is not closed by '}' on its line; write $$ for a dollar"},
        {"${}", ":1:1: '${}' is not a variable; expected ${NAME} or ${NAME:-default}"},
        {"${1}", ":1:1: '${1}' is not a variable; expected ${NAME} or ${NAME:-default}"},
        {"${A-b}", ":1:1: '${A-b}' is not a variable; expected ${NAME} or ${NAME:-default}"},
        {"a\n b\xff", ":2:3: not UTF-8 (byte 0xff)"},
        {"\xc0\x80", ":1:1: not UTF-8 (byte 0xc0)"},
        {"\xe0\x80\x80", ":1:1: not UTF-8 (byte 0xe0)"},
        {"\xed\xa0\x80", ":1:1: not UTF-8 (byte 0xed)"},
        {"\xf4\x90\x80\x80", ":1:1: not UTF-8 (byte 0xf4)"},
        {"# \xe2\x82", ":1:3: not UTF-8 (byte 0xe2)"},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_unreadable(cases[i].text, strlen(cases[i].text), cases[i].message);
    assert_unreadable("a: 1\n\0b", 7, ":2:1: a NUL byte; a job file is text");
}

static void large_files_are_not_read(void **state)
{
    (void)state;
    size_t size = (1 << 20) + 1;
    char *text = malloc(size + 1), *value = malloc(1 << 16);
    struct file file;
    struct mh_error err;
    char *got = NULL;
    memset(text, '#', size);
    assert_unreadable(text, size, ": is larger than 1 MiB; a job file is not");
    write_file(&file, text, size - 1);
    assert_int_equal(mh_job_read(file.path, &got, &err), 0);
    unlink(file.path);
    assert_int_equal(strlen(got), size - 1);
    free(got);
    memset(value, 'x', (1 << 16) - 1);
    value[(1 << 16) - 1] = '\0';
    setenv("MH_TEST_LONG", value, 1);
    for (int i = 0; i < 17; i++)
        strcpy(text + 15 * i, "${MH_TEST_LONG}");
    assert_unreadable(text, 15 * 17, ":1:241: the text with its variables is larger than 1 MiB");
    unsetenv("MH_TEST_LONG");
    free(text);
    free(value);
}

static void no_file_is_an_error(void **state)
{
    (void)state;
    struct mh_error err;
    char *got = NULL;
    assert_int_equal(mh_job_read("/nonexistent/job.yaml", &got, &err), -1);
    assert_string_equal(err.text, "/nonexistent/job.yaml: cannot be opened: No such file or directory");
    assert_int_equal(mh_job_read("/tmp", &got, &err), -1);
    assert_string_equal(err.text, "/tmp: is a directory; expected a job file (YAML)");
    assert_null(got);
}

/* ---- tables of options ---- */

static char *options(const struct mh_role_kind *const *of, bool json)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    mh_job_print_options(out, of, json);
    fclose(out);
    return text;
}

static void options_are_a_table(void **state)
{
    (void)state;
    char *text = options(kinds, false), *expected = material("options.txt");
    assert_string_equal(text, expected);
    for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
        assert_true(strcspn(line, "\n") <= 100);
    free(text);
    free(expected);
}

static json_t *schema_of(const char *path, json_t *schema)
{
    char name[64];
    while (*path) {
        size_t length = strcspn(path, ".");
        snprintf(name, sizeof name, "%.*s", (int)length, path);
        schema = json_is_array(schema) ? json_array_get(schema, (size_t)atoi(name))
                                       : json_object_get(schema, name);
        path += length + (path[length] == '.');
    }
    return schema;
}

static void options_are_a_schema(void **state)
{
    (void)state;
    char *text = options(kinds, true), *again = options(sampler_kinds, true);
    json_t *schema = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    json_t *samples = json_loads(again, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(schema);
    assert_non_null(samples);
    static const struct {
        const char *path, *json;
    } cases[] = {
        {"$schema", "\"https://json-schema.org/draft/2020-12/schema\""},
        {"required", "[\"stages\", \"collection\"]"},
        {"additionalProperties", "false"},
        {"properties.server.not", "{\"required\": [\"uri\", \"uris\"]}"},
        {"properties.server.properties.timeout.default", "\"30s\""},
        {"properties.server.properties.connections.maximum", "64"},
        {"properties.collection.required", "[\"name\", \"fields\"]"},
        {"properties.collection.properties.consistency.enum",
         "[\"strong\", \"session\", \"bounded\", \"eventually\"]"},
        {"properties.collection.properties.index.properties.params.default", "{\"nlist\": 128}"},
        {"properties.stages.items.properties.roles.items", "{\"$ref\": \"#/$defs/role\"}"},
        {"$defs.role.oneOf.2.properties.role", "{\"const\": \"searcher\"}"},
        {"$defs.role.oneOf.2.properties.topk.minimum", "1"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char *json = json_dumps(schema_of(cases[i].path, schema), JSON_ENCODE_ANY);
        assert_non_null(json);
        assert_string_equal(json, cases[i].json);
        free(json);
    }
    for (const struct mh_option *row = sampler_rows; row->name; row++) {
        json_t *one = json_object_get(schema_of("$defs.role.oneOf.0.properties", samples), row->name);
        assert_true(json_object_get(one, "type") || json_object_get(one, "enum") ||
                    json_object_get(one, "anyOf"));
    }
    json_decref(schema);
    json_decref(samples);
    free(text);
    free(again);
}

/* ---- damaged jobs ---- */

/* Whatever the text, there is a job, or one line that says where it went wrong. */
static void read_anything(const char *text, const char *const *sets, size_t set_count)
{
    struct mh_job *job = NULL;
    struct mh_error err = {""};
    if (mh_job_parse("job.yaml", text, sets, set_count, kinds, &job, &err)) {
        assert_null(job);
        if (strncmp(err.text, "job.yaml:", 9) != 0 && strncmp(err.text, "--set ", 6) != 0)
            fail_msg("no place: %s", err.text);
        assert_null(strchr(err.text, '\n'));
        return;
    }
    assert_true(job->stage_count >= 1 && job->value_count > 20);
    mh_job_free(job);
}

static void truncated_jobs_are_survived(void **state)
{
    (void)state;
    char *text = material("good.yaml");
    for (size_t length = strlen(text); length > 0; length--) {
        text[length] = '\0';
        read_anything(text, NULL, 0);
    }
    free(text);
}

static void flipped_bits_are_survived(void **state)
{
    (void)state;
    char *good = material("good.yaml");
    size_t length = strlen(good);
    struct mh_random random = {.seed = 20240229, .stream = 1};
    for (int i = 0; i < 600; i++) {
        char *text = strdup(good);
        uint64_t flips = 1 + mh_random_below(&random, 4);
        for (uint64_t j = 0; j < flips; j++)
            text[mh_random_below(&random, length)] ^= (char)(1 << mh_random_below(&random, 8));
        read_anything(text, NULL, 0);
        free(text);
    }
    free(good);
}

static void shuffled_letters_are_survived(void **state)
{
    (void)state;
    static const char letters[] = "{}[],:&*!|>'\"%@`#-?<~ \n\t0a";
    char *good = material("good.yaml");
    size_t length = strlen(good);
    struct mh_random random = {.seed = 20240229, .stream = 2};
    for (int i = 0; i < 600; i++) {
        char *text = strdup(good);
        text[mh_random_below(&random, length)] = letters[mh_random_below(&random, sizeof letters - 1)];
        text[mh_random_below(&random, length)] = letters[mh_random_below(&random, sizeof letters - 1)];
        read_anything(text, NULL, 0);
        free(text);
    }
    free(good);
}

static void damaged_sets_are_survived(void **state)
{
    (void)state;
    static const char *const sets[] = {"stages.crud.writer[1].rows=500", "thresholds.search.p99=< 20ms",
                                       "collection.fields=[{name: id, type: int64, primary: true}]",
                                       "collection.index.params.nlist=7", "server={uri: \"http://a:1\"}"};
    char *good = material("good.yaml");
    struct mh_random random = {.seed = 20240229, .stream = 3};
    for (int i = 0; i < 500; i++) {
        char set[128];
        const char *list[] = {set, sets[mh_random_below(&random, COUNT(sets))]};
        snprintf(set, sizeof set, "%s", sets[i % (int)COUNT(sets)]);
        set[mh_random_below(&random, strlen(set))] = (char)(1 + mh_random_below(&random, 255));
        read_anything(good, list, COUNT(list));
    }
    free(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sections_are_read),
        cmocka_unit_test(roles_and_thresholds_are_read),
        cmocka_unit_test(defaults_are_set),
        cmocka_unit_test(every_value_has_its_origin),
        cmocka_unit_test(params_default_fits_the_index),
        cmocka_unit_test(servers_are_taken),
        cmocka_unit_test(types_are_printed_as_they_are_read),
        cmocka_unit_test(thresholds_take_all_units),
        cmocka_unit_test(drifts_are_so_much_an_hour),
        cmocka_unit_test(sets_override_the_file),
        cmocka_unit_test(sets_replace_whole_lists),
        cmocka_unit_test(bad_jobs_are_refused),
        cmocka_unit_test(bad_sets_are_refused),
        cmocka_unit_test(what_is_no_mapping_is_refused),
        cmocka_unit_test(very_wide_mappings_are_refused),
        cmocka_unit_test(near_names_are_found),
        cmocka_unit_test(variables_are_expanded),
        cmocka_unit_test(bad_texts_are_not_read),
        cmocka_unit_test(large_files_are_not_read),
        cmocka_unit_test(no_file_is_an_error),
        cmocka_unit_test(options_are_a_table),
        cmocka_unit_test(options_are_a_schema),
        cmocka_unit_test(truncated_jobs_are_survived),
        cmocka_unit_test(flipped_bits_are_survived),
        cmocka_unit_test(shuffled_letters_are_survived),
        cmocka_unit_test(damaged_sets_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
