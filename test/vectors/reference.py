"""The connections of docs/conformance in numpy, and the faults that its vectors must find (FAULT in the environment).

Derivatives are by complex steps: f(x + i h e) has the derivative along e as its imaginary part over h, to the last
digit, since nothing is subtracted. So there is no second implementation that could be wrong in its own way.
"""

import os

import numpy as np

FAULT = os.environ.get("FAULT", "")
EPS = 0 if FAULT == "eps" else 1e-6
ITERATIONS = {"19 iterations": 19, "21 iterations": 21}.get(FAULT, 20)
STEP = 1e-40


def sigmoid(z):
    # By the side on which the exponential does not overflow.
    positive = z.real >= 0
    e = np.exp(np.where(positive, -z, z))
    return np.where(positive, 1 / (1 + e), e / (1 + e))


def largest(z, axis):
    """The entry with the largest real part, with its imaginary part."""
    return np.take_along_axis(z, np.expand_dims(z.real.argmax(axis), axis), axis)


def softmax(z):
    m = largest(z, -1)
    e = np.exp(z - m)
    # A maximum that is a constant in one place and a variable in the other.
    return (np.exp(z - m.real) if FAULT == "frozen maximum" else e) / e.sum(-1, keepdims=True)


def bf16(z):
    if FAULT != "bf16":
        return z
    words = (z.real.astype(np.float32).view(np.uint32) + 0x8000) & 0xFFFF0000
    return words.view(np.float32) + 1j * z.imag


def log_sum(z, axis):
    m = largest(z, axis)
    return m + np.log(np.exp(z - m).sum(axis, keepdims=True))


def doubly_stochastic(logits, convention):
    """[…, n, n]. The paper has exp and then columns and rows in turn, DeepSeek-V4 a softmax and then columns and rows."""
    columns, rows = (-1, -2) if FAULT == "columns before rows" else (-2, -1)
    if convention == "mhc-paper":
        for _ in range(ITERATIONS - 1):
            logits = logits - log_sum(logits, columns)
            logits = logits - log_sum(logits, rows)
        logits = logits - log_sum(logits, columns)
        return softmax(logits) if rows == -1 else np.exp(logits - log_sum(logits, rows))
    p = softmax(logits) + EPS
    p = p / (p.sum(columns, keepdims=True) + EPS)
    for _ in range(ITERATIONS - 1):
        p = p / (p.sum(rows, keepdims=True) + EPS)
        p = p / (p.sum(columns, keepdims=True) + EPS)
    return p


def gated(convention, x, parameters):
    """x [t, n, c]; fn, scale and base are those of the read, the write and the mix, one after the other."""
    t, n, c = x.shape
    v = x.reshape(t, n * c)
    v = v / np.sqrt((v * v).mean(-1, keepdims=True) + 1e-6)
    w = v @ parameters["fn"].T
    scale, base = parameters["scale"], parameters["base"]
    read = sigmoid(w[:, :n] * scale[0] + base[:n]) + (0 if convention == "mhc-paper" else EPS)
    read = bf16(read)
    if FAULT == "no head" and convention.endswith("head"):
        return {"y": x.sum(1), "read": read}
    z = (read[:, :, None] * x).sum(1)
    if convention.endswith("head"):
        return {"y": z, "read": read}
    write = 2 * sigmoid(w[:, n : 2 * n] * scale[1] + base[n : 2 * n]) + (EPS if convention == "hy-v4" else 0)
    write = bf16(write)
    new = write[:, :, None] * np.tanh(z)[:, None, :]
    if convention == "hy-v4":
        return {"y": x + new, "read": read, "write": write}
    logits = (w[:, 2 * n :] * scale[2] + base[2 * n :]).reshape(t, n, n)
    mix = bf16(doubly_stochastic(logits, convention))
    rows = (convention == "mhc-paper") != (FAULT == "transposed")
    mixed = np.einsum("tij,tjc->tic" if rows else "tji,tjc->tic", mix, x)
    return {"y": (x if FAULT == "mix not applied" else mixed) + new, "read": read, "write": write, "mix": mix}


def qwen(convention, x, parameters):
    t, n, c = x.shape
    u = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * (1 + parameters["weight"].reshape(n, c))
    flat = u.reshape(t, n * c) / n
    d = flat @ parameters["down"].T
    gate = sigmoid((d * sigmoid(d)) @ parameters["up"].T).reshape(t, n, c)
    z = (gate * u).mean(1)
    if convention.endswith("head"):
        return {"y": z if FAULT != "no head" else x.mean(1)}
    write = 2 * sigmoid(flat @ parameters["inject"].T)
    return {"y": x + write[:, :, None] * np.tanh(z)[:, None, :]}


def compute(convention, x, parameters):
    return (qwen if convention.startswith("qwen4") else gated)(convention, x, parameters)


def forward(convention, x, parameters):
    result = compute(convention, x.astype(complex), {k: v.astype(complex) for k, v in parameters.items()})
    return {name: value.real for name, value in result.items()}


def backward(convention, x, parameters, dy):
    values = {"x": x, **parameters}
    gradients = {}
    for name, value in values.items():
        gradient = np.zeros(value.size)
        for i in range(value.size):
            moved = {k: v.astype(complex) for k, v in values.items()}
            moved[name].reshape(-1)[i] += 1j * STEP
            y = compute(convention, moved.pop("x"), moved)["y"]
            gradient[i] = (y.imag / STEP * dy).sum()
        gradients[name] = gradient.reshape(value.shape)
    return gradients
