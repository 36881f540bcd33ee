"""A training step of a small GPT in PyTorch (forward, backward, clip, AdamW) as a step program of main.mjs.

    python3 torch_step.py --connection residual|mhc --width 128 --layers 4 --heads 4 --context 64 --batch 12 --vocab 93
                          --threads 1 [--sdpa] [--fused] [--compile] [--bf16] [--package]

The network is that of specs/nanogpt.mhc; with `mhc`, that of specs/moby-dick.mhc: four streams, one product for all
coefficients, 20 Sinkhorn iterations. --sdpa takes PyTorch's own attention, --fused its fused AdamW, --compile its
compiler, --bf16 its autocast, --package the mHC of the package hyper-connections instead of the one below. What a step
program prints and reads stands in our_step.mjs.
"""
import argparse
import json
import math
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

SIZES = dict(width=128, layers=4, heads=4, context=64, batch=12, vocab=93, streams=4, threads=1, warmup=5, seed=1337)
WAYS = ["sdpa", "fused", "compile", "bf16", "package"]
parser = argparse.ArgumentParser()
parser.add_argument("--connection", choices=["residual", "mhc"], default="residual")
for name, value in SIZES.items():
    parser.add_argument(f"--{name}", type=int, default=value)
for name in WAYS:
    parser.add_argument(f"--{name}", action="store_true")
args = parser.parse_args()
torch.set_num_threads(args.threads)
torch.manual_seed(args.seed)
C, H, T, N = args.width, args.heads, args.context, args.streams


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(C)
        self.qkv = nn.Linear(C, 3 * C, bias=False)
        self.out = nn.Linear(C, C, bias=False)
        self.register_buffer("mask", torch.full((T, T), -math.inf).triu(1))

    def forward(self, x):
        q, k, v = (t.view(-1, T, H, C // H).transpose(1, 2) for t in self.qkv(self.norm(x)).split(C, -1))
        if args.sdpa:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            mixed = F.softmax(q @ k.transpose(-1, -2) / math.sqrt(C // H) + self.mask, dim=-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(-1, T, C))


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
        self.phi = nn.Parameter(torch.randn(N * C, N * N + 2 * N) * 0.02 / math.sqrt(N * C))
        self.a = nn.Parameter(torch.full((3,), 0.01))
        biases = [torch.full((N,), -math.log(N - 1)), torch.zeros(N), 4 * torch.eye(N).flatten()]
        self.b = nn.Parameter(torch.cat(biases))

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


def connections():
    """How a block is connected, and how streams begin and end."""
    if args.package:
        from hyper_connections import mc_get_init_and_expand_reduce_stream_functions

        wrap, spread, gather = mc_get_init_and_expand_reduce_stream_functions(N, dim=C, sinkhorn_iters=20)
        return (lambda block: wrap(branch=block)), spread, gather
    if args.connection == "mhc":
        return Mhc, (lambda x: x.unsqueeze(2).expand(-1, -1, N, -1).contiguous()), (lambda x: x.sum(2))
    return Residual, (lambda x: x), (lambda x: x)


class Gpt(nn.Module):
    def __init__(self):
        super().__init__()
        connect, self.spread, self.gather = connections()
        self.token = nn.Embedding(args.vocab, C)
        self.position = nn.Embedding(T, C)
        self.blocks = nn.Sequential(*(connect(block()) for _ in range(args.layers) for block in (Attention, Mlp)))
        self.norm = nn.LayerNorm(C)

    def forward(self, tokens, targets):
        x = self.gather(self.blocks(self.spread(self.token(tokens) + self.position.weight)))
        logits = self.norm(x) @ self.token.weight.t()
        return F.cross_entropy(logits.view(-1, args.vocab), targets.view(-1))


model = Gpt()
fused = dict(fused=True) if args.fused else {}
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1, **fused)
loss_of = torch.compile(model) if args.compile else model


def step():
    """Milliseconds of one step; the batch is drawn before its clock starts."""
    tokens, targets = torch.randint(args.vocab, (2, args.batch, T))
    begun = time.perf_counter()
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
        loss = loss_of(tokens, targets)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    loss.item()
    return 1e3 * (time.perf_counter() - begun)


def say(**message):
    print(json.dumps(message), flush=True)


say(first=step() / 1e3)
warm = min(step() for _ in range(args.warmup))
how = "+".join(name for name in WAYS if getattr(args, name)) or "eager"
parameters = sum(p.numel() for p in model.parameters())
say(ready=True, step_ms=warm, peer=f"PyTorch {torch.__version__} {how}", parameters=parameters)
for line in sys.stdin:
    say(ms=[step() for _ in range(int(line.split()[1]))])
