// raw/good_vi8.cu - attn_decode written by hand for the common case: D = Dv = 128,
// good:vi8 (pairs of 4-bit codes, one half-precision radius a token; int8 values),
// pages of 128 tokens in layout 1, 4 to 8 query heads per KV head. The ceiling that
// generated kernels are held against, in the same search; parameters, workspace and
// results are those of templates/attn_gpu.h.
//
// A warp takes half a page (64 tokens), a stream of its own: copied ahead into its own
// stages of scratch, so that no warp waits for another until the end. Tensor cores do
// both products, m16n8k16, with query heads as the 8 columns:
//
//   logits   rows: 16 tokens. A lane's factor of a group is one look-up of a pair of
//            halves. The 32 bytes of a group hold 64 tokens in the order of layout 1:
//            lane g = lane / 4 takes word g, whose byte y (0, 1) and nibble h are row g
//            of tile (h, y), byte y + 2 row g + 8: tokens 2m and 2m + 1 with
//            m = 16 h + 8 (g / 2 % 2) + 4 y + 2 (g / 4) + g % 2
//   values   rows: 16 channels. The word of a pair of tokens and two channels is two
//            factors: channel 2g in row g, 2g + 1 in row g + 8. The probabilities of a
//            tile are brought over by two transpositions; column t of the factor is
//            pair 2t in its first word, 2t + 1 in its second.
//
// Before it stand #defines: SYMBOL, HEADS, Q_HALF, Q_BF16, OUT_HALF, OUT_BF16, WARPS,
// STAGES, OCCUPANCY, BOOK_BYTES, BOOK_AT, PAGE_UNITS, RADIUS_AT, CODES_AT, SCALES_AT,
// VALUES_AT.

#define DIMS 128
#define GROUPS 64
#define HALF 64 /* tokens of a piece of work */

// A stage: codes [64 groups][32], radii [64] halves, scales [128] halves, values
// [8 blocks of channels][32 pairs of tokens, 8 and 8 apart by 32 bytes][32]
#define STAGE_RADII 2048
#define STAGE_SCALES (STAGE_RADII + 128)
#define STAGE_VALUES (STAGE_SCALES + 256)
#define BLOCK_BYTES (32 * 32 + 4 * 32)
#define STAGE_BYTES (STAGE_VALUES + 8 * BLOCK_BYTES)

// Scratch: codewords [64][16] pairs of halves | queries [8][128] halves | deal [32] |
// warps: (m, l) [WARPS][8][2] | acc [8][128] | stages [WARPS][STAGES]
#define AT_BOOK 0
#define AT_QUERY 4096
#define AT_DEAL (AT_QUERY + 2048)
#define AT_PAIRS (AT_DEAL + 128)
#define AT_ACC (AT_PAIRS + WARPS * 64)
#define AT_STAGES (AT_ACC + 4096)
#define PARTIAL_BYTES (HEADS * (16 + 128) * 4)

#define LOW (-float_of(0x7f800000u))

// ---- which pages are whose --------------------------------------------------------

// The row of all pages: block b of `blocks` has [share_begin(b), share_begin(b + 1)).
SK_HERE u32 share_begin(u32 b, u32 total, u32 blocks)
{
    return b * (total / blocks) + min_u32(b, total % blocks);
}

SK_HERE u32 share_owner(u32 x, u32 total, u32 blocks)
{
    const u32 each = total / blocks, more = total % blocks, border = more * (each + 1);
    return x < border ? x / (each + 1) : more + (x - border) / each;
}

// Bounds of the list of pair v.
SK_HERE u32 list_of(u32 v, u32 flags, u32 kv_heads, u32 kv_first, u32 kv_count)
{
    const u32 seq = v / kv_count;
    return flags & 8 ? seq : seq * kv_heads + kv_first + v % kv_count;
}

// ---- a stage ---------------------------------------------------------------------

// Copies half `which` of a page; all lanes.
SK_HERE void fetch(u8 *stage, const u8 *page, u32 which, u32 lane)
{
    for (u32 i = lane; i < 128; i += 32)
        cp_async(stage + i * 16, page + CODES_AT + (i / 2) * 64 + which * 32 + i % 2 * 16);
    if (lane < 8) cp_async(stage + STAGE_RADII + lane * 16, page + RADIUS_AT + which * 128 + lane * 16);
    if (lane >= 16) cp_async(stage + STAGE_SCALES + (lane - 16) * 16, page + SCALES_AT + (lane - 16) * 16);
    for (u32 i = lane; i < 512; i += 32) {
        const u32 pair = i % 64 / 2;
        cp_async(stage + STAGE_VALUES + i / 64 * BLOCK_BYTES + pair * 32 + pair / 8 * 32 + i % 2 * 16,
                 page + VALUES_AT + i / 64 * 2048 + which * 1024 + pair * 32 + i % 2 * 16);
    }
}

// Half page number `step` of a warp's stream, counted over the piece.
SK_HERE u32 work_of(u32 step, u32 warp, bool by_page)
{
    return by_page ? 2 * (warp + step / 2 * WARPS) + step % 2 : warp + step * WARPS;
}

// (m, l) of two halves of a page as one; logarithms natural.
SK_HERE void put_pair(u8 *to, float ma, float la, float mb, float lb)
{
    const float m = max_f32(ma, mb);
    const float a = ma > LOW ? mul_rn(la, exp2_f32(ma - m)) : 0.0f;
    const float b = mb > LOW ? mul_rn(lb, exp2_f32(mb - m)) : 0.0f;
    st_f32(to, m > LOW ? mul_rn(m, 0.693147180559945f) : LOW);
    st_f32(to + 4, a + b);
}

// Signed bytes lo, lo + 1 of a word whose sign bits are flipped, as halves.
SK_HERE u32 halves(u32 flipped, u32 sel)
{
    return add_f16x2(prmt(flipped, 0x64646464u, sel), 0xe480e480u); // less 1024 + 128
}

// ---- the kernel --------------------------------------------------------------------

EXTERN_C __global__ void __launch_bounds__(WARPS * 32, OCCUPANCY)
SYMBOL(const u8 *q, const u8 *codebook, const u8 *arena, const u8 *indptr, const u8 *refs, u8 *out,
       u8 *lse, u8 *page_ml, const u8 *work, u8 *counters, u8 *partials, u8 *tables, u32 flags,
       u32 batch, u32 kv_heads, u32 kv_first, u32 kv_count, u32 q_seq_bytes, u32 q_head_bytes,
       u32 out_seq_bytes, u32 out_head_bytes, u32 lse_seq, u32 blocks, float scale_log2e)
{
    SCRATCH(scratch);
    const u32 lane = lane_index(), warp = warp_index(), block = block_index(0);
    const u32 thread = warp * 32 + lane, g = lane / 4, t = lane % 4;
    const u32 pairs = batch * kv_count;
    u32 *const deal = (u32 *)(scratch + AT_DEAL);
    (void)tables;

    // a work list counts when it is of this run
    const bool shared_lists = (flags & 8) != 0;
    bool listed = (flags & 4) != 0;
    if (listed)
        listed = ld_u32(work) == 0x31574b53u && ld_u32(work + 4) <= blocks &&
                 ld_u32(work + 8) == batch && ld_u32(work + 12) == kv_first &&
                 ld_u32(work + 16) == kv_count && ld_u32(work + 20) == (shared_lists ? 1u : 0u);
    const u8 *const items = listed ? work + 64 + ((ld_u32(work + 4) + 8) & ~7u) * 4 : work;

    // rows of empty lists, and the first pair and place of this block
    if (warp == 0) {
        u32 total = 0, first = 0, place = 0, end = 0;
        for (u32 v = block; v < pairs; v += blocks) {
            const u8 *const list = indptr + list_of(v, flags, kv_heads, kv_first, kv_count) * 4;
            if (ld_u32(list) != ld_u32(list + 4)) continue;
            const u32 seq = v / kv_count, head = (kv_first + v % kv_count) * HEADS;
            for (u32 h = 0; h < HEADS; h++) {
                u8 *const row = out + seq * out_seq_bytes + (head + h) * out_head_bytes;
#if OUT_HALF || OUT_BF16
                for (u32 i = lane; i < 64; i += 32) st_u32(row + i * 4, 0);
#else
                for (u32 i = lane; i < 128; i += 32) st_u32(row + i * 4, 0);
#endif
                if (flags & 1 && lane == 0) st_f32(lse + (seq * lse_seq + head + h) * 4, LOW);
            }
        }
        if (listed) {
            if (block < ld_u32(work + 4)) {
                first = ld_u32(work + 64 + block * 4);
                end = ld_u32(work + 64 + block * 4 + 4);
            }
        } else {
            for (u32 v0 = 0; v0 < pairs; v0 += 32) { // the row's length
                u32 n = 0;
                if (v0 + lane < pairs) {
                    const u8 *const list =
                        indptr + list_of(v0 + lane, flags, kv_heads, kv_first, kv_count) * 4;
                    n = ld_u32(list + 4) - ld_u32(list);
                }
                total += warp_sum_u32(n);
            }
            const u32 lo = share_begin(block, total, blocks), hi = share_begin(block + 1, total, blocks);
            u32 before = 0;
            for (u32 v0 = 0; v0 < pairs && lo < hi; v0 += 32) { // who holds lo, and hi - 1
                u32 n = 0;
                if (v0 + lane < pairs) {
                    const u8 *const list =
                        indptr + list_of(v0 + lane, flags, kv_heads, kv_first, kv_count) * 4;
                    n = ld_u32(list + 4) - ld_u32(list);
                }
                u32 sum = n; // up to and with this lane
                for (u32 d = 1; d < 32; d *= 2) {
                    const u32 x = shfl_u32(sum, (lane - d) & 31);
                    if (lane >= d) sum += x;
                }
                const u32 at = before + sum;
                first += warp_sum_u32(at <= lo && v0 + lane < pairs ? 1u : 0u);
                end += warp_sum_u32(at < hi && v0 + lane < pairs ? 1u : 0u);
                place = max_u32(place, warp_max_u32(at <= lo ? at : 0));
                before += warp_sum_u32(n);
            }
            if (lo < hi) end++; // behind the pair that holds the last page
        }
        if (lane == 0) {
            deal[0] = first;
            deal[1] = end;
            deal[2] = place;
            deal[3] = total;
        }
    }
    __syncthreads();
    const u32 first_piece = deal[0], end_piece = deal[1], total = deal[3];
    u32 row_at = deal[2];

    for (u32 k = first_piece; k < end_piece; k++) {
        // the piece: pages [lo, hi) of the list of pair v
        const u32 v = listed ? ld_u32(items + k * 16) : k;
        const u32 seq = v / kv_count, head = kv_first + v % kv_count;
        const u8 *const list = indptr + list_of(v, flags, kv_heads, kv_first, kv_count) * 4;
        const u32 begin = ld_u32(list), count = ld_u32(list + 4) - begin;
        u32 lo, hi, slot;
        if (listed) {
            lo = ld_u32(items + k * 16 + 4);
            hi = ld_u32(items + k * 16 + 8);
            slot = ld_u32(items + k * 16 + 12);
        } else {
            const u32 from = share_begin(block, total, blocks), to = share_begin(block + 1, total, blocks);
            lo = begin + (from > row_at ? from - row_at : 0);
            hi = begin + (to < row_at + count ? to - row_at : count);
            slot = lo == begin && hi == begin + count ? 0xffffffffu
                                                      : 2 * block + (lo == begin ? 1u : 0u);
        }
        const u32 place = row_at;
        row_at += count;
        if (lo >= hi) continue;

        // codewords and queries of this head
        __syncthreads();
        const u8 *const book = codebook + (u64)head * BOOK_BYTES + BOOK_AT;
        for (u32 i = thread; i < GROUPS * 16; i += WARPS * 32) {
            const u8 *const from = book + i / 16 * 64 + i % 16 * 2;
            st_u32(scratch + AT_BOOK + i * 4, ld_u16(from) | ld_u16(from + 32) << 16);
        }
        for (u32 h = warp; h < 8; h += WARPS) { // over their largest, which no half would hold
            float x[4] = {0.0f, 0.0f, 0.0f, 0.0f}, most = 0.0f;
            for (u32 i = 0; i < 4 && h < HEADS; i++) {
                const u8 *const row = q + seq * q_seq_bytes + (head * HEADS + h) * q_head_bytes;
#if Q_HALF
                x[i] = ld_f16(row + (lane * 4 + i) * 2);
#elif Q_BF16
                x[i] = ld_bf16(row + (lane * 4 + i) * 2);
#else
                x[i] = ld_f32(row + (lane * 4 + i) * 4);
#endif
                most = max_f32(abs_f32(x[i]), most);
            }
            most = warp_max_f32(most);
            const float inv = most > 1e-30f ? div_rn(1.0f, most) : 0.0f;
            u8 *const to = scratch + AT_QUERY + h * 256 + lane * 8;
            st_u32(to, pack_f16(mul_rn(x[0], inv), mul_rn(x[1], inv)));
            st_u32(to + 4, pack_f16(mul_rn(x[2], inv), mul_rn(x[3], inv)));
            if (lane == 0) deal[16 + h] = bits_of(mul_rn(most, scale_log2e));
        }
        __syncthreads();
        u32 query[16];
        for (u32 i = 0; i < 8; i++) {
            query[2 * i] = ld_u32(scratch + AT_QUERY + g * 256 + i * 32 + t * 4);
            query[2 * i + 1] = ld_u32(scratch + AT_QUERY + g * 256 + i * 32 + t * 4 + 16);
        }

        // the warp's stream: halves warp, warp + WARPS, ... of the pages
        float m0 = LOW, m1 = LOW, l0 = 0.0f, l1 = 0.0f, acc[32];
        for (u32 i = 0; i < 32; i++) acc[i] = 0.0f;
        u8 *const stages = scratch + AT_STAGES + warp * (STAGES * STAGE_BYTES);
        const u32 works = (hi - lo) * 2, unit_add = shared_lists ? head * PAGE_UNITS : 0;
        const bool by_page = (flags & 2) != 0; // statistics: both halves are one warp's
        float page_top0 = LOW, page_top1 = LOW, page_sum0 = 0.0f, page_sum1 = 0.0f;
        for (u32 i = 0; i + 1 < STAGES; i++) {
            const u32 n = work_of(i, warp, by_page);
            if (n < works)
                fetch(stages + i * STAGE_BYTES,
                      arena + (u64)(ld_u32(refs + (u64)(lo + n / 2) * 8) + unit_add) * 128, n % 2, lane);
            cp_async_commit();
        }
        u32 turn = 0;
        for (u32 step = 0;; step++) {
            const u32 n = work_of(step, warp, by_page), far = work_of(step + STAGES - 1, warp, by_page);
            if (n >= works) break;
            __syncwarp(); // nobody reads the stage that is filled now
            if (far < works)
                fetch(stages + (turn ? turn - 1 : STAGES - 1) * STAGE_BYTES,
                      arena + (u64)(ld_u32(refs + (u64)(lo + far / 2) * 8) + unit_add) * 128, far % 2, lane);
            cp_async_commit();
            const u32 tokens = ld_u32(refs + (u64)(lo + n / 2) * 8 + 4) & 0xffffu;
            cp_async_wait(STAGES - 1);
            const u8 *const stage = stages + turn * STAGE_BYTES;
            turn = turn + 1 < STAGES ? turn + 1 : 0;

            // logits of four tiles
            quad s[4];
            for (u32 i = 0; i < 4; i++) s[i] = make_quad(0, 0, 0, 0);
            for (u32 c = 0; c < 8; c++) {
                const u32 j0 = c * 8 + t, j1 = j0 + 4;
                const u32 w0 = ld_u32(stage + j0 * 32 + g * 4), w1 = ld_u32(stage + j1 * 32 + g * 4);
                const u8 *const book0 = scratch + AT_BOOK + j0 * 64, *const book1 = book0 + 256;
                for (u32 i = 0; i < 4; i++) { // tile i: nibble i / 2, byte i % 2
                    const u32 at = i / 2 * 4 + i % 2 * 8;
                    const quad a = make_quad(ld_u32(book0 + (w0 >> at & 15u) * 4),
                                             ld_u32(book0 + (w0 >> (at + 16) & 15u) * 4),
                                             ld_u32(book1 + (w1 >> at & 15u) * 4),
                                             ld_u32(book1 + (w1 >> (at + 16) & 15u) * 4));
                    s[i] = mma_f16(a, query[2 * c], query[2 * c + 1], s[i]);
                }
            }
            // times radii and units; tokens that are not there get no weight
            const float unit0 = float_of(deal[16 + 2 * t]), unit1 = float_of(deal[17 + 2 * t]);
            float p[16];
            for (u32 i = 0; i < 4; i++) {
                const u32 m = 16 * (i / 2) + 8 * (g / 2 % 2) + 4 * (i % 2) + 2 * (g / 4) + g % 2;
                const u32 two = ld_u32(stage + STAGE_RADII + m * 4), token = n % 2 * HALF + 2 * m;
                const float even = f16_lo(two), odd = f16_hi(two);
                p[4 * i] = token < tokens ? mul_rn(float_of(s[i].x), mul_rn(even, unit0)) : LOW;
                p[4 * i + 1] = token < tokens ? mul_rn(float_of(s[i].y), mul_rn(even, unit1)) : LOW;
                p[4 * i + 2] = token + 1 < tokens ? mul_rn(float_of(s[i].z), mul_rn(odd, unit0)) : LOW;
                p[4 * i + 3] = token + 1 < tokens ? mul_rn(float_of(s[i].w), mul_rn(odd, unit1)) : LOW;
            }
            // heads 2t and 2t + 1: their largest, over the lane's tokens, then over g
            float top0 = LOW, top1 = LOW;
            for (u32 i = 0; i < 16; i += 2) {
                top0 = max_f32(p[i], top0);
                top1 = max_f32(p[i + 1], top1);
            }
            for (u32 d = 4; d < 32; d *= 2) {
                top0 = max_f32(shfl_xor_f32(top0, d), top0);
                top1 = max_f32(shfl_xor_f32(top1, d), top1);
            }
            if (by_page) {
                float sum0 = 0.0f, sum1 = 0.0f;
                for (u32 i = 0; i < 16; i += 2) {
                    sum0 += p[i] > LOW ? exp2_f32(p[i] - top0) : 0.0f;
                    sum1 += p[i + 1] > LOW ? exp2_f32(p[i + 1] - top1) : 0.0f;
                }
                for (u32 d = 4; d < 32; d *= 2) {
                    sum0 += shfl_xor_f32(sum0, d);
                    sum1 += shfl_xor_f32(sum1, d);
                }
                if (n % 2 == 0) {
                    page_top0 = top0;
                    page_top1 = top1;
                    page_sum0 = sum0;
                    page_sum1 = sum1;
                } else if (g == 0) {
                    const u32 step_rows = shared_lists ? kv_heads : 1, add = shared_lists ? head : 0;
                    u8 *const row = page_ml + ((u64)(lo + n / 2) * step_rows + add) * (HEADS * 8);
                    if (2 * t < HEADS) put_pair(row + 2 * t * 8, page_top0, page_sum0, top0, sum0);
                    if (2 * t + 1 < HEADS)
                        put_pair(row + 2 * t * 8 + 8, page_top1, page_sum1, top1, sum1);
                }
            }
            // the pair's m is 14 below the largest logit: probabilities of up to 2^14 use
            // the range of halves to its lower end, for tokens beside a far larger one
            const float n0 = max_f32(m0, top0 - 14.0f), n1 = max_f32(m1, top1 - 14.0f);
            const float a0 = m0 > LOW ? exp2_f32(m0 - n0) : 0.0f, a1 = m1 > LOW ? exp2_f32(m1 - n1) : 0.0f;
            m0 = n0;
            m1 = n1;
            l0 = mul_rn(l0, a0);
            l1 = mul_rn(l1, a1);
            u32 b[8]; // factors of the four tiles
            for (u32 i = 0; i < 4; i++) {
                for (u32 j = 0; j < 4; j += 2) {
                    const float x = p[4 * i + j], y = p[4 * i + j + 1];
                    p[4 * i + j] = x > LOW ? exp2_f32(x - m0) : 0.0f;
                    p[4 * i + j + 1] = y > LOW ? exp2_f32(y - m1) : 0.0f;
                    l0 += p[4 * i + j];
                    l1 += p[4 * i + j + 1];
                }
                const u32 even = movm(pack_f16(p[4 * i], p[4 * i + 1]));
                const u32 odd = movm(pack_f16(p[4 * i + 2], p[4 * i + 3]));
                b[2 * i] = prmt(even, odd, 0x5410u);
                b[2 * i + 1] = prmt(even, odd, 0x7632u);
            }
            // values
            for (u32 c = 0; c < 8; c++) {
                quad sum = make_quad(0, 0, 0, 0);
                for (u32 i = 0; i < 4; i++) {
                    const u32 m = 16 * (i / 2) + 8 * (t % 2) + 4 * (i % 2) + 2 * (t / 2);
                    const u8 *const at = stage + STAGE_VALUES + c * BLOCK_BYTES + m * 32 + m / 8 * 32 + g * 4;
                    const u32 x = ld_u32(at) ^ 0x80808080u, y = ld_u32(at + 32) ^ 0x80808080u;
                    const quad a = make_quad(halves(x, 0x4140u), halves(x, 0x4342u), halves(y, 0x4140u),
                                             halves(y, 0x4342u));
                    sum = mma_f16(a, b[2 * i], b[2 * i + 1], sum);
                }
                // a page without tokens may hold anything: no NaN times 0
                const u32 two = tokens ? ld_u32(stage + STAGE_SCALES + c * 32 + g * 4) : 0;
                const float low = f16_lo(two), high = f16_hi(two);
                acc[4 * c] = fma_rn(float_of(sum.x), low, mul_rn(acc[4 * c], a0));
                acc[4 * c + 1] = fma_rn(float_of(sum.y), low, mul_rn(acc[4 * c + 1], a1));
                acc[4 * c + 2] = fma_rn(float_of(sum.z), high, mul_rn(acc[4 * c + 2], a0));
                acc[4 * c + 3] = fma_rn(float_of(sum.w), high, mul_rn(acc[4 * c + 3], a1));
            }
        }
        cp_async_wait(0);
        for (u32 d = 4; d < 32; d *= 2) {
            l0 += shfl_xor_f32(l0, d);
            l1 += shfl_xor_f32(l1, d);
        }

        // the warps of the block become one
        float *const ml = (float *)(scratch + AT_PAIRS), *const sums = (float *)(scratch + AT_ACC);
        if (g == 0) {
            ml[(warp * 8 + 2 * t) * 2] = m0;
            ml[(warp * 8 + 2 * t) * 2 + 1] = l0;
            ml[(warp * 8 + 2 * t + 1) * 2] = m1;
            ml[(warp * 8 + 2 * t + 1) * 2 + 1] = l1;
        }
        for (u32 i = thread; i < 8 * 128; i += WARPS * 32) sums[i] = 0.0f;
        __syncthreads();
        float all0 = LOW, all1 = LOW;
        for (u32 w = 0; w < WARPS; w++) {
            all0 = max_f32(ml[(w * 8 + 2 * t) * 2], all0);
            all1 = max_f32(ml[(w * 8 + 2 * t + 1) * 2], all1);
        }
        const float f0 = m0 > LOW ? exp2_f32(m0 - all0) : 0.0f, f1 = m1 > LOW ? exp2_f32(m1 - all1) : 0.0f;
        for (u32 w = 0; w < WARPS; w++) { // in turns, so that the order of sums is fixed
            if (w == warp)
                for (u32 c = 0; c < 8; c++)
                    for (u32 i = 0; i < 4; i++) {
                        const u32 h = 2 * t + i % 2, at = h * 128 + c * 16 + 2 * g + i / 2;
                        sums[at] = fma_rn(acc[4 * c + i], i % 2 ? f1 : f0, sums[at]);
                    }
            __syncthreads();
        }

        // m and l of head h, by every thread that asks
        const bool whole = slot == 0xffffffffu;
        u8 *const partial = partials + (u64)(whole ? 0 : slot) * PARTIAL_BYTES;
        if (!whole) {
            for (u32 i = thread; i < HEADS * 128; i += WARPS * 32)
                st_f32(partial + HEADS * 64 + i * 4, sums[i]);
        }
        bool ready = whole;
        u32 parts = 1, from_block = 0, from_item = k;
        if (thread < HEADS) {
            float m = LOW, l = 0.0f;
            for (u32 w = 0; w < WARPS; w++) m = max_f32(ml[(w * 8 + thread) * 2], m);
            for (u32 w = 0; w < WARPS; w++) {
                const float mw = ml[(w * 8 + thread) * 2];
                l += mw > LOW ? mul_rn(ml[(w * 8 + thread) * 2 + 1], exp2_f32(mw - m)) : 0.0f;
            }
            deal[4 + thread] = bits_of(l);
            if (!whole) {
                st_f32(partial + thread * 64, m);
                st_f32(partial + thread * 64 + 4, l);
            } else if (flags & 1) {
                st_f32(lse + (seq * lse_seq + head * HEADS + thread) * 4,
                       mul_rn(m + log2_f32(l), 0.693147180559945f));
            }
        }
        __syncthreads();
        if (!whole) {
            if (listed) { // the items of a list follow each other
                while (from_item > 0 && ld_u32(items + from_item * 16 - 16) == v) from_item--;
                u32 to_item = k;
                while (to_item + 1 < ld_u32(work + 24) && ld_u32(items + to_item * 16 + 16) == v) to_item++;
                parts = to_item - from_item + 1;
                from_block = ld_u32(items + from_item * 16 + 12) / 2;
            } else {
                from_block = share_owner(place, total, blocks);
                parts = share_owner(place + count - 1, total, blocks) - from_block + 1;
            }
            if (warp == 0) {
                const u32 done = atom_add(counters + from_block * 4, 1) + 1;
                if (lane == 0) {
                    deal[12] = done == parts ? 1u : 0u;
                    if (done == parts) st_u32(counters + from_block * 4, 0);
                }
            }
            __syncthreads();
            ready = deal[12] != 0;
        }
        if (ready && !whole) { // the last of the list joins all
            for (u32 h = warp; h < HEADS; h += WARPS) {
                float m = LOW, l = 0.0f, x[4] = {0.0f, 0.0f, 0.0f, 0.0f};
                for (u32 pass = 0; pass < 2; pass++)
                    for (u32 i = 0; i < parts; i++) {
                        const u32 from = listed ? ld_u32(items + (from_item + i) * 16 + 12)
                                                : 2 * (from_block + i) + (i == 0 ? 1u : 0u);
                        const u8 *const other = partials + (u64)from * PARTIAL_BYTES;
                        const float mi = ld_f32(other + h * 64);
                        if (pass == 0) {
                            m = max_f32(mi, m);
                            continue;
                        }
                        const float weight = mi > LOW ? exp2_f32(mi - m) : 0.0f;
                        l = fma_rn(ld_f32(other + h * 64 + 4), weight, l);
                        for (u32 j = 0; j < 4; j++)
                            x[j] = fma_rn(ld_f32(other + HEADS * 64 + (h * 128 + j * 32 + lane) * 4),
                                          weight, x[j]);
                    }
                for (u32 j = 0; j < 4; j++) sums[h * 128 + j * 32 + lane] = x[j];
                if (lane == 0) {
                    deal[4 + h] = bits_of(l);
                    if (flags & 1)
                        st_f32(lse + (seq * lse_seq + head * HEADS + h) * 4,
                               mul_rn(m + log2_f32(l), 0.693147180559945f));
                }
            }
            __syncthreads();
        }
        if (ready)
            for (u32 i = thread; i < HEADS * 64; i += WARPS * 32) {
                const u32 h = i / 64;
                const float l = float_of(deal[4 + h]), inv = l > 0.0f ? div_rn(1.0f, l) : 0.0f;
                const float x = mul_rn(sums[i * 2], inv), y = mul_rn(sums[i * 2 + 1], inv);
                u8 *const row = out + seq * out_seq_bytes + (head * HEADS + h) * out_head_bytes;
#if OUT_HALF
                st_u32(row + i % 64 * 4, pack_f16(x, y));
#elif OUT_BF16
                st_u32(row + i % 64 * 4, pack_bf16(x, y));
#else
                st_f32(row + i % 64 * 8, x);
                st_f32(row + i % 64 * 8 + 4, y);
#endif
            }
    }
}
