/* registry.h - code that is loaded in this process, so that a second plan of
 * the same kernel costs no database, no compiler and no memory. It only grows
 * (a process meets a handful of specs) and is emptied with its context; plans
 * hold references of their own and outlive it.
 *
 * Not locked: the context's build lock is held around every call. */
#ifndef SK_REGISTRY_H
#define SK_REGISTRY_H

#include "image_load.h"

typedef struct sk_registry {
    struct sk_registry_entry *head; /* newest first */
    uint32_t count;
} sk_registry;

/* With a reference for the caller, or NULL. Both texts canonical. */
sk_code *sk_registry_find(const sk_registry *registry, const char *spec, const char *schedule);
/* Takes a reference of its own. ENOMEM: nothing was kept. */
sk_status sk_registry_add(sk_registry *registry, const char *spec, const char *schedule,
                          sk_code *code, sk_err *err);
void sk_registry_clear(sk_registry *registry);

#endif
