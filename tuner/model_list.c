/* model_list.c - the models that are known by name. A row is a fact of somebody
 * else's release; what checks it is its number of parameters, which the tests
 * compare with the published one. Models whose weights have a form of their own
 * (per-layer embeddings, recurrent layers, latent attention) stand here with
 * their attention only. */
#include "models.h"

#define K(n) ((n) * 1024u)

/* Layers, KV heads, dimensions, span. */
#define LAYERS(n, kv, d, span) {n, n, kv, d, d, span}
#define GATED(hidden, vocab, tied, layers, inter) \
    {hidden, vocab, tied, 3, layers, inter, 0, 0, 0, 0, 0}
#define EXPERTS(hidden, vocab, layers, n, active, inter, shared) \
    {hidden, vocab, false, 3, 0, 0, layers, n, active, inter, shared}

/* Every layer sees everything. */
#define PLAIN(id, layers, heads_, kv, d, context, hidden, inter, vocab, tied) \
    {.name = id, .heads = heads_, .full = LAYERS(layers, kv, d, 0), .max_context = context, \
     .weights = GATED(hidden, vocab, tied, layers, inter)}
/* Every layer has experts. */
#define MOE(id, layers, heads_, kv, d, context, hidden, inter, vocab, n, active) \
    {.name = id, .heads = heads_, .full = LAYERS(layers, kv, d, 0), .max_context = context, \
     .weights = EXPERTS(hidden, vocab, layers, n, active, inter, 0)}
/* Gemma 2 and 3: some layers with a window. */
#define WINDOW(id, full_, local_, span, heads_, kv, d, context, hidden, inter, vocab, ...) \
    {.name = id, .heads = heads_, .full = LAYERS(full_, kv, d, 0), \
     .local = LAYERS(local_, kv, d, span), .max_context = context, \
     .weights = GATED(hidden, vocab, true, full_ + local_, inter), __VA_ARGS__}

#define LATENT(id, layers, heads_, context) \
    {.name = id, .heads = heads_, .full = {layers, layers, 1, 576, 512, 0}, \
     .max_context = context, .needs = SK_NEED_LATENT}

static const sk_model known[] = {
    /*    name                     layers heads KV  D   context  hidden  inter   vocabulary tied */
    PLAIN("llama-2-7b",              32, 32, 32, 128, K(4),    4096, 11008,  32000, false),
    PLAIN("llama-2-13b",             40, 40, 40, 128, K(4),    5120, 13824,  32000, false),
    PLAIN("llama-2-70b",             80, 64,  8, 128, K(4),    8192, 28672,  32000, false),
    PLAIN("codellama-34b",           48, 64,  8, 128, K(16),   8192, 22016,  32000, false),
    PLAIN("tinyllama-1.1b",          22, 32,  4,  64, K(2),    2048,  5632,  32000, false),
    PLAIN("llama-3-8b",              32, 32,  8, 128, K(8),    4096, 14336, 128256, false),
    PLAIN("llama-3-70b",             80, 64,  8, 128, K(8),    8192, 28672, 128256, false),
    PLAIN("llama-3.1-8b",            32, 32,  8, 128, K(128),  4096, 14336, 128256, false),
    PLAIN("llama-3.1-70b",           80, 64,  8, 128, K(128),  8192, 28672, 128256, false),
    PLAIN("llama-3.1-405b",         126, 128, 8, 128, K(128), 16384, 53248, 128256, false),
    PLAIN("llama-3.2-1b",            16, 32,  8,  64, K(128),  2048,  8192, 128256, true),
    PLAIN("llama-3.2-3b",            28, 24,  8, 128, K(128),  3072,  8192, 128256, true),
    PLAIN("llama-3.3-70b",           80, 64,  8, 128, K(128),  8192, 28672, 128256, false),
    /* Chunks of 8192 but in every fourth layer; Maverick has experts in every second. */
    {.name = "llama-4-scout", .heads = 40, .full = LAYERS(12, 8, 128, 0),
     .local = LAYERS(36, 8, 128, 8192), .chunked = true, .max_context = K(10240),
     .weights = EXPERTS(5120, 202048, 48, 16, 1, 8192, 8192)},
    {.name = "llama-4-maverick", .heads = 40, .full = LAYERS(12, 8, 128, 0),
     .local = LAYERS(36, 8, 128, 8192), .chunked = true, .max_context = K(1024),
     .weights = {5120, 202048, false, 3, 24, 16384, 24, 128, 1, 8192, 8192}},
    PLAIN("qwen2.5-0.5b",            24, 14,  2,  64, K(32),    896,  4864, 151936, true),
    PLAIN("qwen2.5-1.5b",            28, 12,  2, 128, K(32),   1536,  8960, 151936, true),
    PLAIN("qwen2.5-3b",              36, 16,  2, 128, K(32),   2048, 11008, 151936, true),
    PLAIN("qwen2.5-7b",              28, 28,  4, 128, K(128),  3584, 18944, 152064, false),
    PLAIN("qwen2.5-14b",             48, 40,  8, 128, K(128),  5120, 13824, 152064, false),
    PLAIN("qwen2.5-32b",             64, 40,  8, 128, K(128),  5120, 27648, 152064, false),
    PLAIN("qwen2.5-72b",             80, 64,  8, 128, K(128),  8192, 29568, 152064, false),
    PLAIN("qwq-32b",                 64, 40,  8, 128, K(128),  5120, 27648, 152064, false),
    PLAIN("qwen3-0.6b",              28, 16,  8, 128, K(40),   1024,  3072, 151936, true),
    PLAIN("qwen3-1.7b",              28, 16,  8, 128, K(40),   2048,  6144, 151936, true),
    PLAIN("qwen3-4b",                36, 32,  8, 128, K(40),   2560,  9728, 151936, true),
    PLAIN("qwen3-8b",                36, 32,  8, 128, K(40),   4096, 12288, 151936, false),
    PLAIN("qwen3-14b",               40, 40,  8, 128, K(40),   5120, 17408, 151936, false),
    PLAIN("qwen3-32b",               64, 64,  8, 128, K(40),   5120, 25600, 151936, false),
    MOE("qwen3-30b-a3b",             48, 32,  4, 128, K(40),   2048,   768, 151936, 128, 8),
    MOE("qwen3-235b-a22b",           94, 64,  4, 128, K(40),   4096,  1536, 151936, 128, 8),
    {.name = "qwen3-next-80b-a3b", .heads = 16, .full = LAYERS(12, 2, 256, 0), .cacheless = 36,
     .max_context = K(256)},
    {.name = "mistral-7b-v0.1", .heads = 32, .local = LAYERS(32, 8, 128, 4096),
     .max_context = K(32), .weights = GATED(4096, 32000, false, 32, 14336)},
    PLAIN("mistral-7b",              32, 32,  8, 128, K(32),   4096, 14336,  32768, false),
    PLAIN("mistral-nemo-12b",        40, 32,  8, 128, K(128),  5120, 14336, 131072, false),
    PLAIN("codestral-22b",           56, 48,  8, 128, K(32),   6144, 16384,  32768, false),
    PLAIN("mistral-small-24b",       40, 32,  8, 128, K(32),   5120, 32768, 131072, false),
    PLAIN("mistral-small-3.1-24b",   40, 32,  8, 128, K(128),  5120, 32768, 131072, false),
    PLAIN("mistral-large-123b",      88, 96,  8, 128, K(128), 12288, 28672,  32768, false),
    MOE("mixtral-8x7b",              32, 32,  8, 128, K(32),   4096, 14336,  32000, 8, 2),
    MOE("mixtral-8x22b",             56, 48,  8, 128, K(64),   6144, 16384,  32768, 8, 2),
    PLAIN("gemma-2b",                18,  8,  1, 256, K(8),    2048, 16384, 256000, true),
    PLAIN("gemma-7b",                28, 16, 16, 256, K(8),    3072, 24576, 256000, true),
    /*     name          full window tokens heads KV  D   context  hidden  inter  vocabulary */
    WINDOW("gemma-2-2b",   13, 13, 4096,  8,  4, 256, K(8),   2304,  9216, 256000,
           .needs = SK_NEED_SOFTCAP),
    WINDOW("gemma-2-9b",   21, 21, 4096, 16,  8, 256, K(8),   3584, 14336, 256000,
           .needs = SK_NEED_SOFTCAP),
    WINDOW("gemma-2-27b",  23, 23, 4096, 32, 16, 128, K(8),   4608, 36864, 256000,
           .needs = SK_NEED_SOFTCAP, .scale = 1.0 / 12),
    WINDOW("gemma-3-270m",  3, 15,  512,  4,  1, 256, K(32),   640,  2048, 262144,
           .scale = 0),
    WINDOW("gemma-3-1b",    4, 22,  512,  4,  1, 256, K(32),  1152,  6912, 262144,
           .scale = 0),
    WINDOW("gemma-3-4b",    5, 29, 1024,  8,  4, 256, K(128), 2560, 10240, 262208,
           .scale = 0),
    WINDOW("gemma-3-12b",   8, 40, 1024, 16,  8, 256, K(128), 3840, 15360, 262208,
           .scale = 0),
    WINDOW("gemma-3-27b",  10, 52, 1024, 32, 16, 128, K(128), 5376, 21504, 262208,
           .scale = 0.07715167498104596 /* 168^-1/2 */),
    /* The last layers read the keys of earlier ones. */
    {.name = "gemma-3n-e2b", .heads = 8, .full = {6, 4, 2, 256, 256, 0},
     .local = {24, 16, 2, 256, 256, 512}, .max_context = K(32)},
    {.name = "gemma-3n-e4b", .heads = 8, .full = {7, 4, 2, 256, 256, 0},
     .local = {28, 16, 2, 256, 256, 512}, .max_context = K(32)},
    {.name = "gemma-4-e2b", .heads = 8, .full = {7, 3, 1, 512, 512, 0},
     .local = {28, 12, 1, 256, 256, 512}, .max_context = K(128)},
    {.name = "gemma-4-e4b", .heads = 8, .full = {7, 4, 2, 512, 512, 0},
     .local = {35, 20, 2, 256, 256, 512}, .max_context = K(128)},
    {.name = "gemma-4-26b-a4b", .heads = 16, .full = LAYERS(5, 2, 512, 0),
     .local = LAYERS(25, 8, 256, 1024), .max_context = K(256)},
    {.name = "gemma-4-31b", .heads = 32, .full = LAYERS(10, 4, 512, 0),
     .local = LAYERS(50, 16, 256, 1024), .max_context = K(256)},
    {.name = "phi-2", .heads = 32, .full = LAYERS(32, 32, 80, 0), .max_context = K(2),
     .weights = {2560, 51200, false, 2, 32, 10240, 0, 0, 0, 0, 0}},
    PLAIN("phi-3-mini",              32, 32, 32,  96, K(128),  3072,  8192,  32064, false),
    PLAIN("phi-3-medium",            40, 40, 10, 128, K(128),  5120, 17920,  32064, false),
    MOE("phi-3.5-moe",               32, 32,  8, 128, K(128),  4096,  6400,  32064, 16, 2),
    {.name = "phi-3-small", .heads = 32, .full = LAYERS(32, 8, 128, 0), .max_context = K(128),
     .needs = SK_NEED_SPARSE},
    PLAIN("phi-4",                   40, 40, 10, 128, K(16),   5120, 17920, 100352, false),
    PLAIN("phi-4-mini",              32, 24,  8, 128, K(128),  3072,  8192, 200064, true),
    LATENT("deepseek-v2-lite",       27, 16, K(160)),
    LATENT("deepseek-v2",            60, 128, K(160)),
    LATENT("deepseek-v3",            61, 128, K(160)),
    LATENT("deepseek-r1",            61, 128, K(160)),
    PLAIN("deepseek-r1-distill-qwen-1.5b", 28, 12, 2, 128, K(128), 1536, 8960, 151936, false),
    PLAIN("deepseek-r1-distill-qwen-7b", 28, 28, 4, 128, K(128), 3584, 18944, 152064, false),
    PLAIN("deepseek-r1-distill-qwen-14b", 48, 40, 8, 128, K(128), 5120, 13824, 152064, false),
    PLAIN("deepseek-r1-distill-qwen-32b", 64, 40, 8, 128, K(128), 5120, 27648, 152064, false),
    PLAIN("deepseek-r1-distill-llama-8b", 32, 32, 8, 128, K(128), 4096, 14336, 128256, false),
    PLAIN("deepseek-r1-distill-llama-70b", 80, 64, 8, 128, K(128), 8192, 28672, 128256, false),
    {.name = "gpt-oss-20b", .heads = 64, .full = LAYERS(12, 8, 64, 0),
     .local = LAYERS(12, 8, 64, 128), .max_context = K(128), .needs = SK_NEED_SINK,
     .weights = EXPERTS(2880, 201088, 24, 32, 4, 2880, 0)},
    {.name = "gpt-oss-120b", .heads = 64, .full = LAYERS(18, 8, 64, 0),
     .local = LAYERS(18, 8, 64, 128), .max_context = K(128), .needs = SK_NEED_SINK,
     .weights = EXPERTS(2880, 201088, 36, 128, 4, 2880, 0)},
    PLAIN("smollm2-135m",            30,  9,  3,  64, K(8),     576,  1536,  49152, true),
    PLAIN("smollm2-360m",            32, 15,  5,  64, K(8),     960,  2560,  49152, true),
    PLAIN("smollm2-1.7b",            24, 32, 32,  64, K(8),    2048,  8192,  49152, true),
    PLAIN("smollm3-3b",              36, 16,  4, 128, K(64),   2048, 11008, 128256, true),
    PLAIN("olmo-2-1b",               16, 16, 16, 128, K(4),    2048,  8192, 100352, false),
    PLAIN("olmo-2-7b",               32, 32, 32, 128, K(4),    4096, 11008, 100352, false),
    PLAIN("olmo-2-13b",              40, 40, 40, 128, K(4),    5120, 13824, 100352, false),
    PLAIN("olmo-2-32b",              64, 40,  8, 128, K(4),    5120, 27648, 100352, false),
    PLAIN("falcon3-1b",              18,  8,  4, 256, K(4),    2048,  8192, 131072, false),
    PLAIN("falcon3-3b",              22, 12,  4, 256, K(32),   3072,  9216, 131072, false),
    PLAIN("falcon3-7b",              28, 12,  4, 256, K(32),   3072, 23040, 131072, false),
    PLAIN("falcon3-10b",             40, 12,  4, 256, K(32),   3072, 23040, 131072, false),
    {.name = "granite-3.1-2b", .heads = 32, .full = LAYERS(40, 8, 64, 0), .max_context = K(128),
     .scale = 1.0 / 64, .weights = GATED(2048, 49155, true, 40, 8192)},
    {.name = "granite-3.1-8b", .heads = 32, .full = LAYERS(40, 8, 128, 0), .max_context = K(128),
     .scale = 1.0 / 128, .weights = GATED(4096, 49155, true, 40, 12800)},
    PLAIN("yi-6b",                   32, 32,  4, 128, K(4),    4096, 11008,  64000, false),
    PLAIN("yi-1.5-9b",               48, 32,  4, 128, K(4),    4096, 11008,  64000, false),
    PLAIN("yi-34b",                  60, 56,  8, 128, K(4),    7168, 20480,  64000, false),
    PLAIN("glm-4-9b",                40, 32,  2, 128, K(128),  4096, 13696, 151552, false),
    PLAIN("glm-4-32b",               61, 48,  2, 128, K(32),   6144, 23040, 151552, false),
    {.name = "glm-4.5-air", .heads = 96, .full = LAYERS(46, 8, 128, 0), .max_context = K(128),
     .weights = {4096, 151552, false, 3, 1, 10944, 45, 128, 8, 1408, 1408}},
};

const sk_model *sk_model_get(uint32_t i)
{
    return i < SK_COUNT(known) ? &known[i] : NULL;
}
