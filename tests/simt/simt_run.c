/* simt_run.c - one launch: stacks, blocks and their scratch, the grid. Several blocks
 * are under way at a time, in an order by the seed. */
#define _GNU_SOURCE
#include "simt_impl.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ir_interp.h"

simt_run *simt_now;

/* Fills free slots, lets the lanes run until a block has ended, and again. */
static void run_grid(simt_run *r, const uint32_t *order, uint32_t blocks)
{
    uint32_t next = 0, under_way = 0;
    while (!r->failed) {
        for (uint32_t s = 0; s < r->slots && next < blocks; s++) {
            if (r->block[s].left)
                continue;
            const uint32_t at = order[next++], *const grid = r->launch->grid;
            const uint32_t id[3] = {at % grid[0], at / grid[0] % grid[1], at / grid[0] / grid[1]};
            simt_block_begin(r, &r->block[s], id);
            under_way++;
        }
        if (!under_way)
            return;
        simt_thread *const first = simt_pick(r);
        if (!first) {
            r->failed = true;
            (void)sk_fail(r->err, SPHKV_EINTERNAL, "no lane can go on, and none was seen to fail");
            return;
        }
        r->face.now = &first->view;
        simt_context_switch(&r->main, &first->context);
        r->face.now = NULL;
        under_way = 0;
        for (uint32_t s = 0; s < r->slots; s++)
            under_way += r->block[s].left != 0;
    }
}

/* Apart, since a jump out of a handler ends here. */
static void run_caught(simt_run *r, const uint32_t *order, uint32_t blocks)
{
    if (sigsetjmp(simt_escape, 1) == 0)
        run_grid(r, order, blocks);
    r->face.now = NULL;
}

static sk_status make_stacks(simt_run *r, uint8_t **stacks, size_t *bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), warps = r->launch->program->warps;
    *bytes = r->slots * warps * SIMT_LANES * SIMT_STACK;
    void *const p = mmap(NULL, *bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (p == MAP_FAILED)
        return sk_fail(r->err, SPHKV_ENOMEM, "no memory for %zu bytes of stacks", *bytes);
    *stacks = p;
    for (size_t at = 0; at < *bytes; at += SIMT_STACK)
        if (mprotect(*stacks + at, page, PROT_NONE) != 0)
            return sk_fail(r->err, SPHKV_ENOMEM, "a page of a stack cannot be protected");
    return SPHKV_OK;
}

static sk_status make_blocks(simt_run *r, uint8_t *stacks)
{
    const uint32_t warps = r->launch->program->warps;
    for (uint32_t s = 0; s < r->slots; s++) {
        simt_block *const block = &r->block[s];
        block->warp = sk_calloc(warps, sizeof *block->warp);
        if (!block->warp)
            return sk_fail(r->err, SPHKV_ENOMEM, "no memory for %u warps", warps);
        for (uint32_t k = 0; k < warps * SIMT_LANES; k++) {
            simt_warp *const warp = &block->warp[k / SIMT_LANES];
            simt_thread *const t = &warp->thread[k % SIMT_LANES];
            warp->block = block;
            t->warp = warp;
            t->view.lane = k % SIMT_LANES;
            t->view.warp = k / SIMT_LANES;
            t->stack = stacks + (s * (size_t)warps * SIMT_LANES + k) * SIMT_STACK;
            t->id = (uint16_t)(1 + s * SIMT_WARPS * SIMT_LANES + k);
        }
    }
    return SPHKV_OK;
}

static void free_block(const simt_run *r, simt_block *block)
{
    for (uint32_t k = 0; block->warp && k < r->launch->program->warps; k++)
        for (uint32_t lane = 0; lane < SIMT_LANES; lane++)
            sk_free(block->warp[k].thread[lane].copy);
    sk_free(block->warp);
}

/* What the seed decides about the whole run. */
static void draw_run(simt_run *r, uint32_t blocks)
{
    static const uint16_t stay[] = {0, 128, 240, 255, 256};
    const uint32_t room = SIMT_SLOTS * 341 / (r->launch->program->warps * SIMT_LANES);
    sk_rng_seed(&r->rng, r->launch->seed);
    r->stay = stay[simt_below(r, SK_COUNT(stay))];
    r->slots = 1 + simt_below(r, SIMT_SLOTS);
    r->slots = r->slots < blocks ? r->slots : blocks;
    r->slots = r->slots < room ? r->slots : room ? room : 1;
    r->patience = r->launch->yields ? 1 + simt_below(r, 2 * 65536 / r->launch->yields) : 0;
}

static sk_status check_launch(const sk_simt_launch *launch, uint64_t *blocks, sk_err *err)
{
    const sk_program *const p = launch->program;
    *blocks = (uint64_t)launch->grid[0] * launch->grid[1] * launch->grid[2];
    if (p->w != SIMT_LANES || p->warps == 0 || p->warps > SIMT_WARPS)
        return sk_fail(err, SPHKV_EINVAL, "%s: %u warps of %u lanes; 1 to %u of 32 can run",
                       p->symbol, p->warps, p->w, SIMT_WARPS);
    if (*blocks > 1u << 20)
        return sk_fail(err, SPHKV_EINVAL, "%s: %llu blocks are too many to be tried here",
                       p->symbol, (unsigned long long)*blocks);
    return SPHKV_OK;
}

static sk_status run_all(simt_run *r, uint32_t blocks, sk_err *err)
{
    uint8_t *stacks = NULL;
    size_t stack_bytes = 0, signal_bytes = (size_t)64 << 10;
    uint32_t *const order = sk_calloc(blocks ? blocks : 1, sizeof *order);
    void *const signal_stack = sk_malloc(signal_bytes);
    sk_status st = order && signal_stack ? SPHKV_OK : sk_fail(err, SPHKV_ENOMEM, "out of memory");
    if (st == SPHKV_OK)
        st = make_stacks(r, &stacks, &stack_bytes);
    if (st == SPHKV_OK)
        st = make_blocks(r, stacks);
    if (st == SPHKV_OK)
        st = simt_memory_open(r, err);
    if (st == SPHKV_OK) {
        stack_t old;
        sk_rng_order(&r->rng, order, blocks);
        simt_now = r;
        simt_catch(signal_stack, signal_bytes, &old);
        run_caught(r, order, blocks);
        simt_release(&old);
        simt_now = NULL;
        st = r->failed ? SPHKV_EVERIFY : SPHKV_OK;
    }
    simt_memory_close(r);
    for (uint32_t s = 0; s < r->slots; s++)
        free_block(r, &r->block[s]);
    if (stacks)
        (void)munmap(stacks, stack_bytes);
    sk_free(signal_stack);
    sk_free(order);
    return st;
}

sk_status sk_simt_run(const sk_simt_launch *launch, sk_err *err)
{
    uint64_t blocks;
    sk_status st = check_launch(launch, &blocks, err);
    if (st != SPHKV_OK || blocks == 0)
        return st;
    simt_run *const r = sk_calloc(1, sizeof *r);
    if (!r)
        return sk_fail(err, SPHKV_ENOMEM, "out of memory");
    r->face = (simt_machine){
        .load = simt_load, .store = simt_store, .atomic_add = simt_atomic_add, .meet = simt_meet,
        .copy = simt_copy_begin, .copy_commit = simt_copy_commit, .copy_wait = simt_copy_wait,
        .f32_to_f16 = sk_f32_to_f16, .f16_to_f32 = sk_f16_to_f32, .add_f16x2 = sk_interp_hadd2,
        .mul_f16x2 = sk_interp_hmul2, .fma_f16x2 = sk_interp_hfma2,
    };
    r->launch = launch;
    r->entry = sk_simt_get(launch->module, launch->unit, launch->entry);
    r->most_accesses = launch->most_accesses ? launch->most_accesses : UINT64_C(1) << 36;
    r->err = err;
    sk_simt_bind(launch->module, &r->face);
    draw_run(r, (uint32_t)blocks);
    st = run_all(r, (uint32_t)blocks, err);
    sk_free(r);
    return st;
}
