#include "job/memory.h"
#include "job/names.h"
#include "job/rows.h"

#include <arpa/inet.h>
#include <ctype.h>

enum { LONGEST_STAGE_NAME = 200 };
#define NAME_RULE "expected letters, digits and underscores, no digit first, at most 255 bytes"

/* ---- server ---- */

/* Length of the host at the start of text, "[::1]" or "10.0.0.1" or "db-0.example.org"; 0: none. */
static size_t host_length(const char *text)
{
    char address[64];
    struct in6_addr ignored;
    if (*text != '[') {
        size_t length = 0;
        while (isalnum((unsigned char)text[length]) || (text[length] && strchr(".-_", text[length])))
            length++;
        return length;
    }
    size_t length = strcspn(text, "]");
    if (text[length] != ']' || length - 1 >= sizeof address)
        return 0;
    memcpy(address, text + 1, length - 1);
    address[length - 1] = '\0';
    return inet_pton(AF_INET6, address, &ignored) == 1 ? length + 1 : 0;
}

static bool is_uri(const char *uri)
{
    size_t scheme = strncmp(uri, "http://", 7) == 0 ? 7 : strncmp(uri, "https://", 8) == 0 ? 8 : 0;
    size_t host = scheme ? host_length(uri + scheme) : 0;
    if (host == 0 || uri[scheme + host] != ':')
        return false;
    const char *port = uri + scheme + host + 1;
    size_t digits = strspn(port, "0123456789");
    long number = digits > 0 && digits <= 5 ? strtol(port, NULL, 10) : 0;
    return port[digits] == '\0' && number >= 1 && number <= 65535;
}

static const char *uri_key(const struct mh_reading *r)
{
    return mh_marked(r, "server.uris") ? "server.uris" : "server.uri";
}

static int check_uris(struct mh_reading *r, const struct mh_server_options *server)
{
    for (size_t i = 0; i < server->uris.count; i++)
        if (!is_uri(server->uris.items[i]))
            return mh_fail_at(r, uri_key(r),
                              "'%.200s' is not a server; expected http://host:port or https://host:port",
                              server->uris.items[i]);
    return 0;
}

static int check_tls(struct mh_reading *r, const struct mh_server_options *server)
{
    const struct mh_tls_options *tls = &server->tls;
    const struct {
        const char *key, *text;
    } given[] = {{"server.tls.ca", tls->ca},
                 {"server.tls.cert", tls->cert},
                 {"server.tls.key", tls->key},
                 {"server.tls.server_name", tls->server_name}};
    for (size_t i = 0; i < sizeof given / sizeof *given; i++)
        for (size_t j = 0; j < server->uris.count && *given[i].text; j++)
            if (strncmp(server->uris.items[j], "https://", 8) != 0)
                return mh_fail_at(r, given[i].key, "is for https; '%.200s' is not encrypted",
                                  server->uris.items[j]);
    if (!*tls->cert != !*tls->key)
        return mh_fail_at(r, *tls->cert ? "server.tls.cert" : "server.tls.key",
                          "'cert' and 'key' belong together; only one of them is given");
    return 0;
}

/* ---- data set ---- */

static int check_dataset(struct mh_reading *r, const struct mh_dataset_options *dataset)
{
    bool from_file = *dataset->path, made_up = dataset->synthetic.rows > 0;
    if (from_file && (made_up || mh_marked(r, "dataset.synthetic")))
        return mh_fail_at(r, "dataset.synthetic", "stands beside 'path'; exactly one of the two is allowed");
    if (!from_file && !made_up)
        return mh_fail_at(r, mh_marked(r, "dataset.path") ? "dataset.path" : "dataset",
                          "gives no vectors; needs 'path' or 'synthetic' with rows above 0");
    return 0;
}

/* ---- collection ---- */

/* "collection.fields.id" or "stages.crud[1]", followed by `option` when that is not empty. */
static const char *item_key(const struct mh_reading *r, const char *list_key, size_t i, const char *option,
                            char *key, size_t size)
{
    char label[300];
    mh_node_label(mh_marked(r, list_key), i, label, sizeof label);
    snprintf(key, size, "%s%s%s%s", list_key, label, *option ? "." : "", option);
    return key;
}

static int fail_field(struct mh_reading *r, size_t i, const char *option, const char *what)
{
    char key[600];
    return mh_fail_at(r, item_key(r, "collection.fields", i, option, key, sizeof key), "%s", what);
}

static int check_field(struct mh_reading *r, const struct mh_field *field, size_t i)
{
    if (!mh_is_name(field->name))
        return fail_field(r, i, "name", "is not a name; " NAME_RULE);
    if (field->primary && field->type != MH_FIELD_INT64)
        return fail_field(r, i, "type", "the primary field must be int64");
    if (field->type == MH_FIELD_VARCHAR && field->max_length == 0)
        return fail_field(r, i, "", "'max_length' is missing; a varchar needs it, 1 .. 65535 bytes");
    if (field->type != MH_FIELD_VARCHAR && field->max_length != 0)
        return fail_field(r, i, "max_length", "is for varchar fields alone");
    if (field->type != MH_FIELD_FLOAT_VECTOR && field->dim != 0)
        return fail_field(r, i, "dim", "is for float_vector fields alone");
    return 0;
}

static int check_counts(struct mh_reading *r, const struct mh_list *fields)
{
    const struct mh_field *field = fields->items;
    size_t primaries = 0, vectors = 0;
    for (size_t i = 0; i < fields->count; i++) {
        primaries += field[i].primary;
        vectors += field[i].type == MH_FIELD_FLOAT_VECTOR;
        if (primaries > 1)
            return fail_field(r, i, "primary", "is the second primary field; exactly one is allowed");
        if (vectors > 1)
            return fail_field(r, i, "type", "is the second float_vector field; exactly one is allowed");
        for (size_t j = 0; j < i; j++)
            if (strcmp(field[i].name, field[j].name) == 0)
                return fail_field(r, i, "name", "is the name of an earlier field; it must be unique");
    }
    if (fields->count > MH_MOST_FIELDS)
        return mh_fail_at(r, "collection.fields", "are %zu; Milvus allows at most %d", fields->count,
                          MH_MOST_FIELDS);
    if (primaries == 0)
        return mh_fail_at(r, "collection.fields", "no field has 'primary: true'; exactly one int64 must");
    if (vectors == 0)
        return mh_fail_at(r, "collection.fields", "no field is a float_vector; exactly one must be");
    return 0;
}

static int check_index(struct mh_reading *r, const struct mh_collection_options *collection)
{
    const struct mh_field *field = collection->fields.items;
    while (field->type != MH_FIELD_FLOAT_VECTOR)
        field++;
    if (*collection->index.field && strcmp(collection->index.field, field->name) != 0)
        return mh_fail_at(r, "collection.index.field", "'%.80s' is not the vector field; expected '%s'",
                          collection->index.field, field->name);
    if (!*collection->index.type)
        return mh_fail_at(r, "collection.index.type", "is empty; expected IVF_FLAT, HNSW, FLAT, ...");
    return 0;
}

static int check_collection(struct mh_reading *r, const struct mh_collection_options *collection)
{
    const struct mh_list *fields = &collection->fields;
    if (!mh_is_name(collection->name))
        return mh_fail_at(r, "collection.name", "is not a name; " NAME_RULE);
    for (size_t i = 0; i < fields->count; i++)
        if (check_field(r, (const struct mh_field *)fields->items + i, i))
            return -1;
    return check_counts(r, fields) || check_index(r, collection) ? -1 : 0;
}

/* ---- stages ---- */

static bool is_given(const struct mh_node *roles, size_t i, const char *option)
{
    return mh_node_get(roles->items[i], option) != NULL;
}

/* Of a role: "stages.crud.writer", followed by `option` when that is not empty. */
static int fail_role(struct mh_reading *r, const char *stage_key, const struct mh_node *roles, size_t i,
                     const char *option, const char *what)
{
    char label[300], key[900];
    snprintf(key, sizeof key, "%s%s%s%s", stage_key, mh_node_label(roles, i, label, sizeof label),
             *option ? "." : "", option);
    return mh_fail_at(r, key, "%s", what);
}

static int64_t length_of(const struct mh_role_options *role)
{
    int64_t length = role->for_ns;
    for (size_t i = 0; i < role->steps.count; i++)
        length += role->steps.items[i].duration_ns;
    return length;
}

static int check_pace(struct mh_reading *r, const struct mh_stage_options *stage, const char *stage_key,
                      const struct mh_node *roles, size_t i)
{
    const struct mh_role_options *role = &stage->roles[i];
    const char *searched = stage->find_max.role; /* it gets a rate */
    const bool steps = role->steps.count > 0;
    const int64_t length = length_of(role);
    if (is_given(roles, i, "arrival") && !(role->rate > 0) && !steps &&
        !(searched && strcmp(searched, role->kind->name) == 0))
        return fail_role(r, stage_key, roles, i, "arrival",
                         "needs 'rate' or 'steps'; without one there is nothing to space");
    if (steps && is_given(roles, i, "rate"))
        return fail_role(r, stage_key, roles, i, "rate",
                         "stands beside 'steps', which have rates of their own; one of the two is allowed");
    if (steps && is_given(roles, i, "for"))
        return fail_role(r, stage_key, roles, i, "for",
                         "stands beside 'steps', which last as long as they say; one of the two is allowed");
    if (length > 0 && role->warmup_ns >= length)
        return fail_role(r, stage_key, roles, i, "warmup",
                         "is as long as the role; nothing would be measured");
    return 0;
}

static int check_roles(struct mh_reading *r, const struct mh_stage_options *stage, const char *stage_key,
                       const struct mh_node *roles)
{
    for (size_t i = 0; i < stage->role_count; i++)
        if (check_pace(r, stage, stage_key, roles, i) != 0)
            return -1;
    return 0;
}

static bool takes_rate(const struct mh_role_kind *kind)
{
    for (const struct mh_option *row = kind->options; row && row->name; row++)
        if (strcmp(row->name, "rate") == 0)
            return true;
    return false;
}

static int check_searched_role(struct mh_reading *r, const struct mh_stage_options *stage, const char *key,
                               const char *stage_key, const struct mh_node *roles)
{
    static const char *const own[] = {"rate", "steps", "ops", "warmup"};
    size_t at = 0, count = 0;
    for (size_t i = 0; i < stage->role_count; i++)
        if (strcmp(stage->roles[i].kind->name, stage->find_max.role) == 0) {
            at = i;
            count++;
        }
    if (count != 1)
        return mh_fail_at(r, key, "'%.80s' is %s of this stage; expected one of its roles",
                          stage->find_max.role, count ? "several" : "no role");
    if (!takes_rate(stage->roles[at].kind))
        return mh_fail_at(r, key, "'%.80s' takes no rate", stage->find_max.role);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (is_given(roles, at, own[i]))
            return fail_role(r, stage_key, roles, at, own[i],
                             "stands beside 'find_max', which says how it runs");
    return 0;
}

static int check_find_max(struct mh_reading *r, const struct mh_stage_options *stage, const char *stage_key,
                          const struct mh_node *node, const struct mh_node *roles)
{
    const struct mh_find_max_options *find = &stage->find_max;
    char key[700], role_key[720];
    snprintf(key, sizeof key, "%s.find_max", stage_key);
    snprintf(role_key, sizeof role_key, "%s.role", key);
    if (!mh_node_get(node, "p99") && !mh_node_get(node, "errors") && !mh_node_get(node, "recall"))
        return mh_fail_at(r, key, "says nothing of what must hold; needs 'p99', 'errors' or 'recall'");
    if (!(find->from > 0) || find->from > find->to)
        return mh_fail_at(r, key, "'from' must be above 0, and 'to' no less than it");
    if (find->within_ns < 3 * find->probe_ns + 2 * find->warmup_ns)
        return mh_fail_at(r, key,
                          "'within' leaves no time for a probe and its confirmation, which is twice as long");
    if (stage->chaos_count > 0)
        return mh_fail_at(r, key, "stands beside 'chaos'; one of the two is allowed");
    return check_searched_role(r, stage, role_key, stage_key, roles);
}

static int check_stages(struct mh_reading *r, const struct mh_job *job)
{
    const struct mh_node *stages = mh_node_get(r->root, "stages");
    for (size_t i = 0; i < job->stage_count; i++) {
        char key[600], name_key[600];
        const struct mh_stage_options *stage = &job->stages[i];
        item_key(r, "stages", i, "", key, sizeof key);
        item_key(r, "stages", i, "name", name_key, sizeof name_key);
        if (!mh_is_name(stage->name))
            return mh_fail_at(r, name_key, "is not a name; " NAME_RULE);
        if (strlen(stage->name) > LONGEST_STAGE_NAME)
            return mh_fail_at(r, name_key, "is longer than %d bytes; partitions are named after it",
                              LONGEST_STAGE_NAME);
        for (size_t j = 0; j < i; j++)
            if (strcmp(stage->name, job->stages[j].name) == 0)
                return mh_fail_at(r, name_key, "is the name of an earlier stage; it must be unique");
        const struct mh_node *roles = mh_node_get(stages->items[i], "roles"),
                             *find = mh_node_get(stages->items[i], "find_max");
        if (check_roles(r, stage, key, roles) || (find && check_find_max(r, stage, key, find, roles)))
            return -1;
    }
    return 0;
}

/* Samples are told apart by their page's name. */
static int check_pages(struct mh_reading *r, const struct mh_texts *pages)
{
    char name[MH_PAGE_NAME], other[MH_PAGE_NAME];
    for (size_t i = 0; i < pages->count; i++) {
        mh_page_name(pages->items[i], name);
        for (size_t k = 0; k < i; k++) {
            mh_page_name(pages->items[k], other);
            if (strcmp(name, other) == 0)
                return mh_fail_at(
                    r, "observe.metrics",
                    "'%.200s' and '%.200s' would both be called '%s'; expected pages that differ in the "
                    "first %d characters of host, port and path",
                    pages->items[k], pages->items[i], name, MH_PAGE_NAME - 1);
        }
    }
    return 0;
}

int mh_job_check(struct mh_reading *r, const struct mh_job *job)
{
    if (check_uris(r, &job->server) || check_tls(r, &job->server) || check_dataset(r, &job->dataset) ||
        check_collection(r, &job->collection) || check_stages(r, job) ||
        check_pages(r, &job->observe.metrics))
        return -1;
    return 0;
}
