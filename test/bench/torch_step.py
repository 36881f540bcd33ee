"""One training step of a small GPT in PyTorch, eager mode: forward, backward, clip, AdamW. Timed by peers.mjs beside our own step.

    python3 torch_step.py --connection residual|mhc --width 128 --layers 4 --heads 4 --context 64 --batch 12 --vocab 65 --threads 1

The network is that of specs/nanogpt.mhc; with `mhc`, that of specs/moby-dick.mhc: four streams, one product for all coefficients, 20
Sinkhorn iterations. Prints one JSON line with the median and the least milliseconds of a step.
"""
import argparse
import json
import math
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("--connection", choices=["residual", "mhc"], default="residual")
for name, value in dict(width=128, layers=4, heads=4, context=64, batch=12, vocab=65, streams=4, threads=1, steps=20, warmup=5).items():
    parser.add_argument(f"--{name}", type=int, default=value)
args = parser.parse_args()
torch.set_num_threads(args.threads)
torch.manual_seed(1337)
C, H, T, N = args.width, args.heads, args.context, args.streams


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(C)
        self.qkv = nn.Linear(C, 3 * C, bias=False)
        self.out = nn.Linear(C, C, bias=False)
        self.register_buffer("mask", torch.full((T, T), -math.inf).triu(1))

    def forward(self, x):
        b = x.shape[0]
        q, k, v = self.qkv(self.norm(x)).view(b, T, 3, H, C // H).permute(2, 0, 3, 1, 4)
        p = F.softmax(q @ k.transpose(-1, -2) / math.sqrt(C // H) + self.mask, dim=-1)
        return self.out((p @ v).transpose(1, 2).reshape(b, T, C))


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(C)
        self.up = nn.Linear(C, 4 * C, bias=False)
        self.down = nn.Linear(4 * C, C, bias=False)

    def forward(self, x):
        return self.down(F.gelu(self.up(self.norm(x))))


class Residual(nn.Module):
    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, x):
        return x + self.block(x)


class Mhc(nn.Module):
    """Manifold-constrained hyper-connection (arXiv 2512.24880) on [batch, time, stream, channel]."""

    def __init__(self, block):
        super().__init__()
        self.block = block
        self.phi = nn.Parameter(torch.randn(N * C, N * N + 2 * N) * 0.02)
        self.a = nn.Parameter(torch.full((3,), 0.01))
        self.b = nn.Parameter(torch.cat([torch.full((N,), -math.log(N - 1)), torch.zeros(N), 4 * torch.eye(N).flatten()]))

    def forward(self, x):
        flat = x.flatten(-2)
        h = (flat @ self.phi) * torch.rsqrt(flat.square().mean(-1, keepdim=True) + 1e-6)
        read = torch.sigmoid(self.a[0] * h[..., :N] + self.b[:N])
        write = 2 * torch.sigmoid(self.a[1] * h[..., N : 2 * N] + self.b[N : 2 * N])
        mix = torch.exp(self.a[2] * h[..., 2 * N :] + self.b[2 * N :]).unflatten(-1, (N, N))
        for _ in range(20):
            mix = mix / mix.sum(-2, keepdim=True)
            mix = mix / mix.sum(-1, keepdim=True)
        y = self.block((read.unsqueeze(-2) @ x).squeeze(-2))
        return mix @ x + write.unsqueeze(-1) * y.unsqueeze(-2)


class Gpt(nn.Module):
    def __init__(self):
        super().__init__()
        connection = Mhc if args.connection == "mhc" else Residual
        self.token = nn.Embedding(args.vocab, C)
        self.position = nn.Embedding(T, C)
        self.blocks = nn.Sequential(*(connection(block()) for _ in range(args.layers) for block in (Attention, Mlp)))
        self.norm = nn.LayerNorm(C)

    def forward(self, tokens, targets):
        x = self.token(tokens) + self.position.weight
        if args.connection == "mhc":
            x = self.blocks(x.unsqueeze(2).expand(-1, -1, N, -1).contiguous()).sum(2)
        else:
            x = self.blocks(x)
        logits = self.norm(x) @ self.token.weight.t()
        return F.cross_entropy(logits.view(-1, args.vocab), targets.view(-1))


model = Gpt()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1)
times = []
for step in range(args.warmup + args.steps):
    tokens, targets = torch.randint(args.vocab, (2, args.batch, T))
    begun = time.perf_counter()
    optimizer.zero_grad(set_to_none=True)
    model(tokens, targets).backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    if step >= args.warmup:
        times.append(1e3 * (time.perf_counter() - begun))
print(json.dumps(dict(peer=f"PyTorch {torch.__version__}", parameters=sum(p.numel() for p in model.parameters()), median_ms=statistics.median(times), min_ms=min(times))))
