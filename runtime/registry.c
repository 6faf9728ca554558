/* registry.c - see registry.h. */
#include "registry.h"

#include <string.h>

struct sk_registry_entry {
    struct sk_registry_entry *next;
    sk_code *code;
    char *spec, *schedule; /* canonical */
};

sk_code *sk_registry_find(const sk_registry *registry, const char *spec, const char *schedule)
{
    for (const struct sk_registry_entry *e = registry->head; e; e = e->next)
        if (strcmp(e->schedule, schedule) == 0 && strcmp(e->spec, spec) == 0)
            return sk_code_retain(e->code);
    return NULL;
}

static void entry_free(struct sk_registry_entry *e)
{
    sk_free(e->spec);
    sk_free(e->schedule);
    sk_free(e);
}

sk_status sk_registry_add(sk_registry *registry, const char *spec, const char *schedule,
                          sk_code *code, sk_err *err)
{
    struct sk_registry_entry *e = sk_calloc(1, sizeof *e);
    if (!e)
        return sk_fail(err, SPHKV_ENOMEM, "out of memory for the registry");
    e->spec = sk_strdup(spec);
    e->schedule = sk_strdup(schedule);
    if (!e->spec || !e->schedule) {
        entry_free(e);
        return sk_fail(err, SPHKV_ENOMEM, "out of memory for the registry");
    }
    e->code = sk_code_retain(code);
    e->next = registry->head;
    registry->head = e;
    registry->count++;
    return SPHKV_OK;
}

void sk_registry_clear(sk_registry *registry)
{
    for (struct sk_registry_entry *e = registry->head, *next; e; e = next) {
        next = e->next;
        sk_code_release(e->code);
        entry_free(e);
    }
    registry->head = NULL;
    registry->count = 0;
}
