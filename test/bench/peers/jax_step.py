"""A training step of a small GPT in JAX (forward, backward, clip, AdamW), one jitted function whose state is donated,
as a step program of main.mjs.

    python3 jax_step.py --connection residual|mhc --width 128 --layers 4 --heads 4 --context 64 --batch 12 --vocab 93
                        --threads 1

The networks are those of torch_step.py. XLA has as many threads as it sees cores, so the process is kept on that many.
What a step program prints and reads stands in our_step.mjs.
"""
import argparse
import json
import math
import os
import sys
import time

SIZES = dict(width=128, layers=4, heads=4, context=64, batch=12, vocab=93, streams=4, threads=1, warmup=5, seed=1337)
parser = argparse.ArgumentParser()
parser.add_argument("--connection", choices=["residual", "mhc"], default="residual")
for name, value in SIZES.items():
    parser.add_argument(f"--{name}", type=int, default=value)
args = parser.parse_args()
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])

import jax  # noqa: E402  (after the cores are chosen)
import jax.numpy as jnp  # noqa: E402

C, H, T, B, N = args.width, args.heads, args.context, args.batch, args.streams
MHC = args.connection == "mhc"


def initial(key):
    keys = iter(jax.random.split(key, 8 * args.layers + 8))

    def normal(*shape):
        return jax.random.normal(next(keys), shape) * 0.02

    blocks = []
    for _ in range(args.layers):
        attention = dict(qkv=normal(C, 3 * C), out=normal(C, C))
        mlp = dict(up=normal(C, 4 * C), down=normal(4 * C, C))
        for weights in (attention, mlp):
            block = dict(gain=jnp.ones(C), bias=jnp.zeros(C), **weights)
            if MHC:
                biases = [jnp.full(N, -math.log(N - 1)), jnp.zeros(N), (4 * jnp.eye(N)).ravel()]
                block |= dict(phi=normal(N * C, N * N + 2 * N) / math.sqrt(N * C))
                block |= dict(a=jnp.full(3, 0.01), b=jnp.concatenate(biases))
            blocks.append(block)
    ends = dict(token=normal(args.vocab, C), position=normal(T, C), gain=jnp.ones(C), bias=jnp.zeros(C))
    return dict(blocks=blocks, **ends)


def norm(x, p):
    centred = x - x.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * p["gain"] + p["bias"]


def apply(p, x):
    """A block: attention or an mlp."""
    x = norm(x, p)
    if "up" in p:
        return jax.nn.gelu(x @ p["up"], approximate=False) @ p["down"]
    q, k, v = (t.reshape(B, T, H, C // H).transpose(0, 2, 1, 3) for t in jnp.split(x @ p["qkv"], 3, -1))
    scores = q @ k.transpose(0, 1, 3, 2) / math.sqrt(C // H)
    weights = jax.nn.softmax(jnp.where(jnp.tril(jnp.ones((T, T), bool)), scores, -jnp.inf), -1)
    return (weights @ v).transpose(0, 2, 1, 3).reshape(B, T, C) @ p["out"]


def connect(p, x):
    if not MHC:
        return x + apply(p, x)
    flat = x.reshape(B, T, N * C)
    h = (flat @ p["phi"]) * jax.lax.rsqrt((flat * flat).mean(-1, keepdims=True) + 1e-6)
    a, b = p["a"], p["b"]
    read = jax.nn.sigmoid(a[0] * h[..., :N] + b[:N])
    write = 2 * jax.nn.sigmoid(a[1] * h[..., N : 2 * N] + b[N : 2 * N])
    mix = jnp.exp(a[2] * h[..., 2 * N :] + b[2 * N :]).reshape(B, T, N, N)
    for _ in range(20):
        mix = mix / mix.sum(-2, keepdims=True)
        mix = mix / mix.sum(-1, keepdims=True)
    y = apply(p, jnp.einsum("bti,btic->btc", read, x))
    return jnp.einsum("btij,btjc->btic", mix, x) + write[..., None] * y[..., None, :]


def loss_of(p, tokens, targets):
    x = p["token"][tokens] + p["position"]
    if MHC:
        x = jnp.broadcast_to(x[:, :, None], (B, T, N, C))
    for block in p["blocks"]:
        x = connect(block, x)
    if MHC:
        x = x.sum(2)
    logits = norm(x, p) @ p["token"].T
    own = jnp.take_along_axis(logits, targets[..., None], -1)[..., 0]
    return (jax.nn.logsumexp(logits, -1) - own).mean()


def update(p, m, v, t, tokens, targets, rate=1e-3, b1=0.9, b2=0.99, decay=0.1):
    loss, grads = jax.value_and_grad(loss_of)(p, tokens, targets)
    size = jnp.sqrt(sum((g * g).sum() for g in jax.tree.leaves(grads)))
    scale = jnp.minimum(1.0, 1.0 / (size + 1e-6))
    m = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * scale * g, m, grads)
    v = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * (scale * g) ** 2, v, grads)

    def moved(p, m, v):
        return p * (1 - rate * decay) - rate * (m / (1 - b1**t)) / (jnp.sqrt(v / (1 - b2**t)) + 1e-8)

    return jax.tree.map(moved, p, m, v), m, v, loss


jitted = jax.jit(update, donate_argnums=(0, 1, 2))
parameters = initial(jax.random.PRNGKey(args.seed))
count = sum(x.size for x in jax.tree.leaves(parameters))
state = dict(p=parameters, m=jax.tree.map(jnp.zeros_like, parameters), v=jax.tree.map(jnp.zeros_like, parameters))
state |= dict(at=0, key=jax.random.PRNGKey(args.seed + 1))


def step():
    """Milliseconds of one step; the batch is drawn before its clock starts."""
    state["at"] += 1
    state["key"], key = jax.random.split(state["key"])
    tokens, targets = jax.block_until_ready(jax.random.randint(key, (2, B, T), 0, args.vocab))
    begun = time.perf_counter()
    state["p"], state["m"], state["v"], loss = jitted(
        state["p"], state["m"], state["v"], jnp.float32(state["at"]), tokens, targets
    )
    jax.block_until_ready((loss, state["p"]))
    return 1e3 * (time.perf_counter() - begun)


def say(**message):
    print(json.dumps(message), flush=True)


say(first=step() / 1e3)
warm = min(step() for _ in range(args.warmup))
say(ready=True, step_ms=warm, peer=f"JAX {jax.__version__} jit", parameters=count)
for line in sys.stdin:
    say(ms=[step() for _ in range(int(line.split()[1]))])
