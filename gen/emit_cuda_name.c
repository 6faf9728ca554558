/* emit_cuda_name.c - names of the emitted text.
 *
 * A value keeps the name that the template gave it; where that is taken the
 * second one is page_2. What has no name is called by its type and its number in
 * the program (i12 an integer, f12 a float, p12 a predicate, a12 an address, q12
 * a quad), so that text and `--emit ir` can be read side by side; loops count
 * with i, j, k. A name is free again when the body that it was made in is left,
 * so nothing ever hides something else. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "emit_cuda_impl.h"

/* Words of C and C++, types of the prelude, and what CUDA declares by itself. */
static const char words[] =
    " alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl const"
    " const_cast constexpr continue decltype default delete do double dynamic_cast else enum"
    " explicit export extern false float for friend goto if inline int long main mutable namespace"
    " new noexcept not not_eq nullptr operator or or_eq private protected public register"
    " reinterpret_cast restrict return short signed sizeof static static_assert static_cast struct"
    " switch template this thread_local throw true try typedef typeid typename typeof union"
    " unsigned using virtual void volatile wchar_t while xor xor_eq"
    " u8 u16 u32 s32 u64 quad EXTERN_C SCRATCH"
    " threadIdx blockIdx blockDim gridDim warpSize linux unix NULL ";

static bool is_word_char(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static bool is_keyword(const char *name, size_t len)
{
    for (const char *at = words; (at = strstr(at, name)) != NULL; at++)
        if (at[-1] == ' ' && at[len] == ' ')
            return true;
    return false;
}

/* The prelude has a function of that name. */
static bool is_vocabulary(const char *name, size_t len)
{
    const char *const prelude = sk_cuda_prelude();
    for (const char *at = prelude; (at = strstr(at, name)) != NULL; at++)
        if (at[len] == '(' && at != prelude && !is_word_char(at[-1]))
            return true;
    return false;
}

static uint32_t hash_of(const char *s)
{
    uint32_t h = 2166136261u;
    for (; *s; s++)
        h = (h ^ (uint8_t)*s) * 16777619u;
    return h;
}

static bool is_taken(const cuda_entry *e, const char *name)
{
    const uint32_t hash = hash_of(name);
    for (uint32_t k = 0; k < e->nvisible; k++)
        if (e->visible[k].hash == hash && strcmp(e->visible[k].name, name) == 0)
            return true;
    const size_t len = strlen(name);
    return is_keyword(name, len) || is_vocabulary(name, len);
}

/* `want` with what C does not take in a name replaced, and cut. */
static void make_identifier(const char *want, char out[48])
{
    size_t n = 0;
    if (!isalpha((unsigned char)*want)) /* _x and __x are not ours */
        out[n++] = 'v';
    for (; *want && n < 40; want++)
        out[n++] = is_word_char(*want) ? *want : '_';
    out[n] = '\0';
}

const char *sk_emit_cuda_declare(cuda_entry *e, const char *want)
{
    char base[48], name[64];
    make_identifier(want, base);
    (void)snprintf(name, sizeof name, "%s", base);
    for (uint32_t k = 2; is_taken(e, name); k++)
        (void)snprintf(name, sizeof name, "%s_%u", base, k);
    char *const kept = sk_arena_strdup(&e->arena, name);
    if (!kept || e->nvisible == e->visible_cap) {
        e->failed = true;
        return "";
    }
    e->visible[e->nvisible++] = (cuda_visible){.name = kept, .hash = hash_of(kept)};
    return kept;
}

static const char *loop_name(const cuda_entry *e)
{
    static const char *const letter[] = {"i", "j", "k", "l", "m", "n"};
    uint32_t k = 0;
    while (k + 1 < SK_COUNT(letter) && is_taken(e, letter[k]))
        k++;
    return letter[k];
}

const char *sk_emit_cuda_declare_value(cuda_entry *e, sk_val v)
{
    static const char prefix[] = {[SK_U32] = 'i', [SK_F32] = 'f', [SK_PRED] = 'p',
                                  [SK_PTR] = 'a', [SK_QUAD] = 'q'};
    const sk_instr *const in = cuda_at(e, v);
    char name[16];
    const char *want = in->name;
    if (!want && in->op == SK_OP_FOR) {
        want = loop_name(e);
    } else if (!want && in->op == SK_OP_BLOCK) {
        want = in->imm == 0 ? "block" : in->imm == 1 ? "block_y" : "block_z";
    } else if (!want) {
        (void)snprintf(name, sizeof name, "%c%u", prefix[in->type], v);
        want = name;
    }
    return e->v[v].name = sk_emit_cuda_declare(e, want);
}

void sk_emit_cuda_enter(cuda_entry *e)
{
    e->open[e->depth++] = e->nvisible;
}

void sk_emit_cuda_leave(cuda_entry *e)
{
    e->nvisible = e->open[--e->depth];
}
