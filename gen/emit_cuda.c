/* emit_cuda.c - a unit, an entry, its statements and control.
 *
 * Every instruction that is written becomes one statement, in the order of the
 * program. Pointers are not `restrict`, parameters that are only read are not
 * loaded by way of ld.global.nc: two slots may name the same memory (an output
 * merged in place, an arena that is read and written), and a program does not
 * know which do. */
#include <string.h>

#include "emit_cuda_impl.h"

const char *sk_cuda_prelude(void)
{
    static const unsigned char text[] = {
#include "prelude_cuh.inc"
    };
    return (const char *)text;
}

/* ---- lines --------------------------------------------------------------------------- */

#define LINE_COLUMNS 100u

/* Where to break a line that has `room` columns: behind the last comma of its
 * second half, else at the last space; its length when there is none. */
static size_t break_at(const char *text, size_t len, size_t room)
{
    size_t space = 0;
    if (len <= room)
        return len;
    for (size_t k = room; k > 0; k--) {
        if (text[k] != ' ')
            continue;
        if (text[k - 1] == ',' && k > room / 2)
            return k;
        space = space ? space : k;
    }
    return space ? space : len;
}

/* Writes the statement that was put together, and begins the next one. */
static void end_line(cuda_entry *e)
{
    uint32_t indent = e->depth * 4 + 4;
    const char *at = e->line.s ? e->line.s : "";
    size_t len = e->line.len;
    while (len) {
        const size_t cut = break_at(at, len, indent < 60 ? LINE_COLUMNS - indent : 40);
        sk_text_printf(e->out, "%*s%.*s\n", (int)indent, "", (int)cut, at);
        const size_t next = cut < len ? cut + 1 : len;
        at += next;
        len -= next;
        indent = e->depth * 4 + 8;
    }
    e->failed |= e->line.failed;
    e->line.len = 0;
}

static void put(cuda_entry *e, const char *text)
{
    sk_text_append(&e->line, text, strlen(text));
}

static void simple_line(cuda_entry *e, const char *text)
{
    put(e, text);
    end_line(e);
}

/* ---- statements ------------------------------------------------------------------------ */

/* const T name = text; a variable of the program is not const. */
static void declare(cuda_entry *e, sk_val v)
{
    const bool variable = cuda_at(e, v)->op == SK_OP_VAR;
    sk_text line = {0};
    if (cuda_at(e, v)->op == SK_OP_ATOMADD && !e->v[v].uses) {
        sk_emit_cuda_text(e, v);
        simple_line(e, ";");
        return;
    }
    /* The name is new behind its own text, which may use an older one like it. */
    sk_emit_cuda_text(e, v);
    line = e->line;
    e->line = (sk_text){0};
    sk_emit_cuda_type(e, v, !variable);
    put(e, sk_emit_cuda_declare_value(e, v));
    put(e, " = ");
    sk_text_append(&e->line, line.s ? line.s : "", line.len);
    e->failed |= line.failed;
    sk_text_free(&line);
    simple_line(e, ";");
}

/* Opens `if (...) ` when the store is not every lane's. */
static void put_mask(cuda_entry *e, const sk_instr *in, uint32_t k)
{
    if (in->nargs <= k)
        return;
    put(e, "if (");
    sk_emit_cuda_value(e, in->arg[k], CUDA_ANY, false);
    put(e, ") ");
}

static void store(cuda_entry *e, const sk_instr *in)
{
    const uint32_t type = cuda_at(e, in->arg[2])->type;
    const bool row = in->op == SK_OP_STV || in->op == SK_OP_STN;
    if (in->op == SK_OP_STU)
        put(e, "if (lane == 0) ");
    put_mask(e, in, 3);
    put(e, in->op == SK_OP_STN ? "stream_" : "st_");
    put(e, type == SK_QUAD ? "quad(" : type == SK_F32 ? "f32(" : "u32(");
    sk_emit_cuda_address(e, in->arg[0], in->arg[1], in->imm, row ? 4 : 0, true);
    put(e, ", ");
    sk_emit_cuda_value(e, in->arg[2], CUDA_ANY, false);
    simple_line(e, ");");
}

static void copy(cuda_entry *e, const sk_instr *in)
{
    put_mask(e, in, 4);
    put(e, "cp_async(");
    sk_emit_cuda_address(e, in->arg[0], in->arg[1], in->imm2, 0, true);
    put(e, ", ");
    sk_emit_cuda_address(e, in->arg[2], in->arg[3], in->imm, 0, false);
    simple_line(e, ");");
}

static void open_loop(cuda_entry *e, sk_val v)
{
    const sk_instr *const in = cuda_at(e, v);
    sk_text bound = {0};
    put(e, " = ");
    sk_emit_cuda_value(e, in->arg[0], CUDA_ANY, false);
    bound = e->line;
    e->line = (sk_text){0};
    put(e, "for (u32 ");
    const uint32_t outside = e->nvisible; /* the name belongs to the body */
    const char *const name = sk_emit_cuda_declare_value(e, v);
    put(e, name);
    sk_text_append(&e->line, bound.s ? bound.s : "", bound.len);
    e->failed |= bound.failed;
    sk_text_free(&bound);
    sk_text_printf(&e->line, "; %s < ", name);
    sk_emit_cuda_value(e, in->arg[1], CUDA_REL, true);
    sk_text_printf(&e->line, in->imm == 1 ? "; %s++) {" : "; %s += %u) {", name, in->imm);
    end_line(e);
    sk_emit_cuda_enter(e);
    e->open[e->depth - 1] = outside;
}

static void control(cuda_entry *e, sk_val v)
{
    const sk_instr *const in = cuda_at(e, v);
    switch (in->op) {
    case SK_OP_FOR: open_loop(e, v); break;
    case SK_OP_IF:
        put(e, "if (");
        sk_emit_cuda_value(e, in->arg[0], CUDA_ANY, false);
        simple_line(e, ") {");
        sk_emit_cuda_enter(e);
        break;
    case SK_OP_ELSE:
        sk_emit_cuda_leave(e);
        simple_line(e, "} else {");
        sk_emit_cuda_enter(e);
        break;
    default: /* END */
        sk_emit_cuda_leave(e);
        simple_line(e, "}");
        break;
    }
}

static void statement(cuda_entry *e, sk_val v)
{
    const sk_instr *const in = cuda_at(e, v);
    if (e->v[v].form != CUDA_STATEMENT)
        return;
    if (e->v[v].meet)
        simple_line(e, "__syncwarp();");
    switch (in->op) {
    case SK_OP_SET:
        sk_text_printf(&e->line, "%s = ", e->v[in->arg[0]].name);
        sk_emit_cuda_value(e, in->arg[1], CUDA_ANY, false);
        simple_line(e, ";");
        break;
    case SK_OP_STU:
    case SK_OP_STV:
    case SK_OP_STN:
    case SK_OP_STG:
    case SK_OP_STQ: store(e, in); break;
    case SK_OP_CPASYNC: copy(e, in); break;
    case SK_OP_CPCOMMIT: simple_line(e, "cp_async_commit();"); break;
    case SK_OP_CPWAIT:
        sk_text_printf(&e->line, "cp_async_wait(%u);", in->imm);
        end_line(e);
        break;
    case SK_OP_PREFETCH:
        put(e, "prefetch(");
        sk_emit_cuda_address(e, in->arg[0], in->arg[1], in->imm, 0, false);
        simple_line(e, ");");
        break;
    case SK_OP_BARRIER: simple_line(e, "__syncthreads();"); break;
    case SK_OP_FOR:
    case SK_OP_IF:
    case SK_OP_ELSE:
    case SK_OP_END: control(e, v); break;
    default: declare(e, v); break;
    }
}

/* ---- an entry ------------------------------------------------------------------------ */

static bool entry_begin(cuda_entry *e)
{
    const size_t n = e->p->ninstr + 1u, names = n + e->p->nparams + 3u;
    e->v = sk_arena_alloc(&e->arena, n * sizeof *e->v);
    e->open = sk_arena_alloc(&e->arena, n * sizeof *e->open);
    e->param = sk_arena_alloc(&e->arena, (e->p->nparams + 1u) * sizeof *e->param);
    e->visible = sk_arena_alloc(&e->arena, names * sizeof *e->visible);
    if (!e->v || !e->open || !e->param || !e->visible)
        return false;
    e->visible_cap = (uint32_t)names;
    return sk_emit_cuda_plan(e) && sk_emit_cuda_sync(e);
}

/* Whether the text names the lane, the warp, the scratch. */
static bool mentions(const cuda_entry *e, uint32_t op)
{
    for (sk_val i = 0; i < e->p->ninstr; i++) {
        const sk_instr *const in = cuda_at(e, i);
        if (e->v[i].form == CUDA_SILENT)
            continue;
        const bool by_lane = in->op == SK_OP_LDV || in->op == SK_OP_STV || in->op == SK_OP_STN
                             || in->op == SK_OP_STU
                             || (in->op == SK_OP_LDROWS && in->imm >> 24 > 1);
        if (in->op == op || (op == SK_OP_LANE && by_lane))
            return true;
    }
    return false;
}

static void head(cuda_entry *e)
{
    static const char *const type[] = {[SK_PARAM_PTR] = "u8 *", [SK_PARAM_U32] = "u32 ",
                                       [SK_PARAM_F32] = "float "};
    const sk_program *const p = e->p;
    (void)sk_emit_cuda_declare(e, "lane"); /* first, so that nothing else has these names */
    (void)sk_emit_cuda_declare(e, "warp");
    (void)sk_emit_cuda_declare(e, "scratch");
    sk_text_printf(e->out, "\n// %s: %u warp%s, %u bytes of scratch\n", p->symbol, p->warps,
                   p->warps == 1 ? "" : "s", p->shared_bytes);
    sk_text_printf(e->out, "EXTERN_C __global__ void __launch_bounds__(%u", p->warps * p->w);
    if (p->occupancy)
        sk_text_printf(e->out, ", %u", p->occupancy);
    sk_text_printf(e->out, ")\n%s(", p->symbol);
    const char *const first = p->nparams > 3 ? "\n    " : "", *const next = *first ? first : " ";
    for (uint32_t k = 0; k < p->nparams; k++) {
        const sk_param *const param = &p->param[k];
        const bool constant = param->kind == SK_PARAM_PTR && !param->writable;
        e->param[k] = sk_emit_cuda_declare(e, param->name);
        sk_text_printf(e->out, "%s%s%s%s%s", k ? "," : "", k ? next : first,
                       constant ? "const " : "", type[param->kind], e->param[k]);
    }
    sk_text_printf(e->out, "%s)\n{\n", p->nparams ? "" : "void");
    if (mentions(e, SK_OP_SHARED))
        simple_line(e, "SCRATCH(scratch);");
    if (mentions(e, SK_OP_LANE))
        simple_line(e, "const u32 lane = lane_index();");
    if (mentions(e, SK_OP_WARP))
        simple_line(e, "const u32 warp = warp_index();");
}

static sk_status emit_entry(const sk_program *p, sk_text *out, sk_err *err)
{
    cuda_entry e = {.p = p, .out = out};
    if (p->w != 32)
        return sk_fail(err, SPHKV_EUNSUPPORTED,
                       "cuda: %s is for warps of %u lanes; those of a GPU have 32", p->symbol,
                       p->w);
    sk_status st = sk_ir_verify(p, err);
    if (st != SPHKV_OK)
        return st;
    if (entry_begin(&e)) {
        head(&e);
        for (sk_val i = 0; i < p->ninstr; i++)
            statement(&e, i);
        sk_text_printf(out, "}\n");
    } else {
        e.failed = true;
    }
    if (e.failed || out->failed)
        st = sk_fail(err, SPHKV_ENOMEM, "cuda: out of memory to write %s", p->symbol);
    sk_text_free(&e.line);
    sk_arena_free(&e.arena);
    return st;
}

/* ---- the unit ------------------------------------------------------------------------ */

/* Lines of a text, each as a comment. */
static void comment(const char *text, sk_text *out)
{
    while (text && *text) {
        const size_t len = strcspn(text, "\n");
        sk_text_printf(out, "// %.*s\n", (int)len, text);
        text += len + (text[len] == '\n');
    }
}

sk_status sk_emit_cuda(const sk_program *const *programs, uint32_t n, const sk_cuda_note *note,
                       sk_text *out, sk_err *err)
{
    if (note) {
        comment(note->spec, out);
        comment(note->schedule, out);
    }
    sk_text_printf(out, "// By sphkv, in the vocabulary of gen/prelude.cuh. Addresses are in "
                        "bytes; i12, f12, p12,\n"
                        "// a12, q12 are value 12 of the program (--emit ir).\n");
    sk_status st = SPHKV_OK;
    for (uint32_t k = 0; k < n && st == SPHKV_OK; k++)
        st = emit_entry(programs[k], out, err);
    if (st == SPHKV_OK && out->failed)
        st = sk_fail(err, SPHKV_ENOMEM, "cuda: out of memory");
    return st;
}
