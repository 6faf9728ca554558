/* simt_case.h - programs emitted, compiled together and run on the harness: what the
 * test_simt_ programs share. */
#ifndef SIMT_CASE_H
#define SIMT_CASE_H

#include "emit_cuda.h"
#include "simt.h"

/* The text of a kernel's programs, in the arena. */
static inline sk_simt_unit simt_unit(const sk_program *const *programs, uint32_t n, sk_arena *arena)
{
    sk_text text = {0};
    sk_err err = {0};
    sk_assert_ok(sk_emit_cuda(programs, n, NULL, &text, &err), &err);
    assert_false(text.failed);
    const sk_simt_unit unit = {.text = sk_arena_strdup(arena, text.s), .n = n, .program = programs};
    assert_non_null(unit.text);
    sk_text_free(&text);
    return unit;
}

/* Whether the line orders lanes or warps: a sync, or what waits for copies. */
static inline bool simt_is_sync(const char *line)
{
    static const char *const words[] = {"__syncwarp();", "__syncthreads();", "cp_async_wait("};
    line += strspn(line, " ");
    for (uint32_t i = 0; i < SK_COUNT(words); i++)
        if (strncmp(line, words[i], strlen(words[i])) == 0)
            return true;
    return false;
}

#endif
