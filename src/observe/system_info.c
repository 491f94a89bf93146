#include "observe/system_info.h"

#include <jansson.h>
#include <stdio.h>

static const char *text_of(const json_t *object, const char *key, const char *other)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : other;
}

static void read_figure(const json_t *hardware, const char *key, const struct mh_node_info *node,
                        const char *name, mh_node_visitor *visit, void *context)
{
    const json_t *figure = json_object_get(hardware, key);
    if (json_is_number(figure))
        visit(context, node, name, json_number_value(figure));
}

static void read_node(const json_t *infos, mh_node_visitor *visit, void *context)
{
    const json_t *hardware = json_object_get(infos, "hardware_infos");
    struct mh_node_info node = {.address = text_of(hardware, "ip", ""),
                                .created = text_of(infos, "created_time", "")};
    snprintf(node.name, sizeof node.name, "%.32s %.0f", text_of(infos, "type", "node"),
             json_number_value(json_object_get(infos, "id")));
    read_figure(hardware, "memory_usage", &node, "memory_usage_bytes", visit, context);
    read_figure(hardware, "cpu_core_usage", &node, "cpu_usage_percent", visit, context);
}

int mh_system_info_read(const char *text, mh_node_visitor *visit, void *context)
{
    json_t *root = json_loads(text, JSON_DECODE_INT_AS_REAL, NULL); /* some are above 2^63 */
    const json_t *nodes = json_object_get(root, "nodes_info");
    const int rc = json_is_array(nodes) ? 0 : -1;
    for (size_t i = 0; i < json_array_size(nodes); i++)
        read_node(json_object_get(json_array_get(nodes, i), "infos"), visit, context);
    json_decref(root);
    return rc;
}
