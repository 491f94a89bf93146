/* The answer to Milvus' GetMetrics of {"metric_type":"system_info"}: what its nodes say of themselves. */
#ifndef MH_OBSERVE_SYSTEM_INFO_H
#define MH_OBSERVE_SYSTEM_INFO_H

#define MH_SYSTEM_INFO_REQUEST "{\"metric_type\":\"system_info\"}"

struct mh_node_info {
    char name[64];       /* its type and number: "querynode 12" */
    const char *address; /* its own, or "" */
    const char *created; /* when it began, in the server's words, or "" */
};

typedef void mh_node_visitor(void *context, const struct mh_node_info *node, const char *name, double value);

/* Hands on memory_usage_bytes and cpu_usage_percent of each node that says them. -1: this is no such answer.
 */
int mh_system_info_read(const char *text, mh_node_visitor *visit, void *context);

#endif
