"""sdpa.py - how long PyTorch's scaled_dot_product_attention takes for the decoding step
that bench.json is about: dense f16, one query token, grouped query heads. Replays of
a captured graph between events, over copies larger than the L2 cache. Prints JSON.

Not part of any test: ./run gpu calls it where torch is installed."""
import json
import statistics
import sys

import torch
import torch.nn.functional as F


def measure(batch, heads, kv_heads, dim, context, rounds=31):
    """Median, least and most microseconds of one step."""
    each = 2 * batch * kv_heads * context * dim * 2
    copies = max(2, min(16, (1 << 30) // each))
    shape = (batch, kv_heads, context, dim)
    keys = [torch.randn(shape, device="cuda", dtype=torch.float16) for _ in range(copies)]
    values = [torch.randn(shape, device="cuda", dtype=torch.float16) for _ in range(copies)]
    query = torch.randn((batch, heads, 1, dim), device="cuda", dtype=torch.float16)

    def step():
        for k, v in zip(keys, values):
            F.scaled_dot_product_attention(query, k, v, enable_gqa=heads != kv_heads)

    for _ in range(3):
        step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    times = []
    for _ in range(rounds):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1e3 / copies)
    return statistics.median(times), min(times), max(times)


def main():
    rows = []
    for batch, context in ((1, 8192), (1, 32768), (32, 8192), (32, 32768)):
        try:
            median, least, most = measure(batch, 32, 8, 128, context)
        except (RuntimeError, TypeError) as reason:
            rows.append({"batch": batch, "context": context, "why": str(reason).splitlines()[0]})
            continue
        rows.append({"batch": batch, "context": context, "us": median, "least": least, "most": most})
    json.dump({"torch": torch.__version__, "gpu": torch.cuda.get_device_name(), "rows": rows},
              sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
