"""Numbers for test/manifolds/oracle.test.ts, from the formulas by other means: python3 test/manifolds/oracle.py writes test/fixtures/manifolds.json.

NumPy in f64 and SciPy's own linear algebra: factorizations where the compiler iterates, sorting where it halves intervals, eigenvalues and singular
values where it bounds them. Tangent spaces are null spaces of the linearized constraints, gradients solve the equation that defines them, gyrations are sums
by definition, hyperbolic distances are arcosh. What is ours by convention (which permutation is first, how far free coordinates lean) is said again here.
"""

import itertools
import json
import pathlib

import numpy as np
from scipy import linalg, special

COUNT = 2
rng = np.random.default_rng(7)


def numbers(*shape, scale=1.0):
    return np.float32(scale * rng.uniform(-1, 1, shape)).astype(float)


def softmax(z):
    return special.softmax(z, axis=-1)


# Convex sets and varieties: map(options, shape, *free) and project(options, value) of one point.


def sinkhorn_paper(z, turns):
    log = z.copy()
    for _ in range(turns):
        log -= special.logsumexp(log, axis=0, keepdims=True)
        log -= special.logsumexp(log, axis=1, keepdims=True)
    return np.exp(log)


def sinkhorn_deepseek(z, turns, eps=1e-6):
    p = softmax(z) + eps
    p = p / (p.sum(0, keepdims=True) + eps)
    for _ in range(turns - 1):
        p = p / (p.sum(1, keepdims=True) + eps)
        p = p / (p.sum(0, keepdims=True) + eps)
    return p


def rounding(f):
    """Algorithm 2 of Altschuler, Weed and Rigollet."""
    f = np.diag(1 / np.maximum(f.sum(1), 1)) @ f
    f = f @ np.diag(1 / np.maximum(f.sum(0), 1))
    rows, columns = 1 - f.sum(1), 1 - f.sum(0)
    missing = np.abs(rows).sum()
    return f + (np.outer(rows, columns) / missing if missing > 1e-9 else 0)


def insertions(n):
    """Permutations of 0 .. n-1: the largest is put last, then further and further to the front, of each of the shorter ones."""
    if n == 0:
        return [()]
    return [rest[: n - 1 - i] + (n - 1,) + rest[n - 1 - i :] for rest in insertions(n - 1) for i in range(n)]


def birkhoff_map(options, shape, free):
    n = shape[0]
    by = options.get("by", "sinkhorn")
    if by == "permutations":
        orders = insertions(n)
        assert sorted(orders) == list(itertools.permutations(range(n)))
        return sum(w * np.eye(n)[list(order)] for w, order in zip(softmax(free), orders))
    if by == "kronecker":
        p = np.ones((1, 1))
        for a in special.expit(free):  # the first is the lowest bit of the index
            p = np.kron(np.array([[a, 1 - a], [1 - a, a]]), p)
        return p
    if by == "orthostochastic":
        return cayley(free + np.triu(np.ones((n, n)), 1) / 8) ** 2
    p = (sinkhorn_deepseek if options.get("convention") == "deepseek" else sinkhorn_paper)(free, 20)
    return rounding(p) if options.get("exact", True) else p


def on_simplex(x):
    """By sorting (Held, Wolfe and Crowder 1974)."""
    u = np.sort(x)[::-1]
    thresholds = (np.cumsum(u) - 1) / np.arange(1, len(x) + 1)
    return np.maximum(x - thresholds[np.nonzero(u > thresholds)[0][-1]], 0)


def circulant_project(options, x):
    n = len(x)
    basis = np.stack([np.roll(np.eye(n), k, axis=1).ravel() for k in range(n)], axis=1)
    w = linalg.lstsq(basis, x.ravel())[0]
    return (basis @ on_simplex(w)).reshape(n, n)


def truncated(options, x):
    r = options.get("rank", 1)
    u, s, vt = linalg.svd(x)
    return u[:, :r] @ np.diag(s[:r]) @ vt[:r]


def with_gap(options, shape):
    """Values whose singular values have a gap after the rank, where the best approximation is well conditioned."""
    least = min(shape)
    u, _ = linalg.qr(numbers(shape[0], shape[0]))
    v, _ = linalg.qr(numbers(shape[1], shape[1]))
    r = options.get("rank", 1)
    return u[:, :least] @ np.diag([2.0 / (i + 1) if i < r else 0.1 / (i + 1) for i in range(least)]) @ v[:, :least].T


def schatten(w, iterations):
    """Gram iteration is the norm of order 2^(k + 1) of the singular values."""
    s, order = linalg.svdvals(w), 2.0 ** (iterations + 1)
    return s[0] * ((s / s[0]) ** order).sum() ** (1 / order)


def spectral_map(options, shape, w):
    return w / max(1, schatten(w, options.get("iterations", 6)) / options.get("radius", 1))


def box_ends(options):
    return options.get("from", -1), options.get("to", 1)


def box_map(options, shape, free):
    low, high = box_ends(options)
    return low + (high - low) * (np.tanh(free) + 1) / 2




CONVEX = {
    "birkhoff": dict(
        pieces=lambda o, s: {"permutations": [[len(insertions(s[0]))]], "kronecker": [[int(np.log2(s[0]))]]}.get(o.get("by"), [s]),
        map=birkhoff_map, project=lambda o, x: rounding(np.maximum(x, 0)), value=lambda o, s: numbers(*s) + 0.3,
        cases=[({}, [4, 4]), ({"convention": "deepseek"}, [4, 4]), ({"exact": False}, [4, 4]), ({"convention": "deepseek", "exact": False}, [4, 4]), ({"by": "permutations"}, [3, 3]), ({"by": "kronecker"}, [4, 4]), ({"by": "orthostochastic"}, [4, 4])],
    ),
    "box": dict(pieces=lambda o, s: [[]], map=box_map, project=lambda o, x: np.clip(x, *box_ends(o)), cases=[({}, []), ({"from": 0.1, "to": 0.7}, [])]),
    "circulant": dict(
        pieces=lambda o, s: [[s[0]]], map=lambda o, s, z: sum(w * np.roll(np.eye(s[0]), k, axis=1) for k, w in enumerate(softmax(z))), project=circulant_project,
        cases=[({}, [4, 4]), ({}, [5, 5])],
    ),
    "identity": dict(pieces=lambda o, s: [], map=lambda o, s: np.eye(s[0]), project=lambda o, x: np.eye(len(x)), cases=[({}, [3, 3])]),
    "low_rank": dict(
        pieces=lambda o, s: [[s[0], o.get("rank", 1)], [o.get("rank", 1)], [s[1], o.get("rank", 1)]], map=lambda o, s, u, d, v: u @ np.diag(d) @ v.T, project=truncated, value=with_gap,
        cases=[({}, [3, 3]), ({"rank": 2}, [6, 4]), ({"rank": 2}, [4, 5])],
    ),
    "nonnegative": dict(
        pieces=lambda o, s: [[]], map=lambda o, s, z: np.exp(z) if o.get("by") == "exp" else np.logaddexp(0, z), project=lambda o, x: np.maximum(x, 0), cases=[({}, []), ({"by": "exp"}, [])],
    ),
    "simplex": dict(pieces=lambda o, s: [s], map=lambda o, s, z: softmax(z), project=lambda o, x: on_simplex(x), value=lambda o, s: numbers(*s, scale=0.3), cases=[({}, [6]), ({}, [24])]),
    "spectral_ball": dict(
        pieces=lambda o, s: [s], map=spectral_map, project=lambda o, w: w / max(1, linalg.norm(w, 2) / o.get("radius", 1)),
        cases=[({}, [4, 4]), ({"radius": 0.5}, [4, 4]), ({"iterations": 3}, [3, 6]), ({"radius": 20}, [2, 3])],
    ),
    "stochastic": dict(pieces=lambda o, s: [s], map=lambda o, s, z: softmax(z), project=lambda o, x: np.apply_along_axis(on_simplex, 1, x), cases=[({}, [4, 4]), ({}, [3, 5])]),
}


# Manifolds: also a random point, the metric, the retraction, and the linearized constraint, whose null space is the tangent space.


def cayley(free):
    a = (free - free.T) / 2
    return linalg.solve(np.eye(len(a)) + a, np.eye(len(a)) - a)


def householder(free):
    m, n = free.shape
    if m < n:
        return householder(free.T).T
    h = -np.eye(m)
    for v in free.T:
        h = h @ (np.eye(m) - 2 * np.outer(v, v) / (v @ v))
    return h[:, :n]


def nearest_orthonormal(x):
    return linalg.polar(x)[0]


def stiefel_map(default):
    def of(options, shape, free):
        by = options.get("by", default)
        if by == "polar":
            return nearest_orthonormal(free + 0.05 * np.sqrt((linalg.svdvals(free) ** 2).mean()) * np.eye(*shape))
        return cayley(free) if by == "cayley" else householder(free)

    return of


def gram_change(x, v):
    return (x.T @ v + v.T @ x if x.shape[0] >= x.shape[1] else x @ v.T + v @ x.T).ravel()


def euclidean_inner(o, x, u, v):
    return (u * v).sum()


def at_least(x, floor):
    w, q = linalg.eigh((x + x.T) / 2)
    return q @ np.diag(np.maximum(w, floor)) @ q.T


def spd_inner(o, x, u, v):
    return np.trace(linalg.solve(x, u) @ linalg.solve(x, v))


def curvature(options):
    return options.get("curvature", 1)


def moebius(c, x, y):
    xy, xx, yy = x @ y, x @ x, y @ y
    return ((1 + 2 * c * xy + c * yy) * x + (1 - c * xx) * y) / (1 + 2 * c * xy + c * c * xx * yy)


def conformal(c, x):
    return 2 / (1 - c * (x @ x))


def exponential(o, x, v):
    c, size = curvature(o), linalg.norm(v)
    return moebius(c, x, np.tanh(np.sqrt(c) * conformal(c, x) * size / 2) * v / (np.sqrt(c) * size))


def gyrated(o, x, y, v):
    c = curvature(o)
    small = 0.1 * v / linalg.norm(v)  # gyr[y, -x] is linear, its definition needs a point of the ball
    turned = moebius(c, -moebius(c, y, -x), moebius(c, y, moebius(c, -x, small)))
    return turned * linalg.norm(v) / 0.1 * conformal(c, x) / conformal(c, y)


def hyperbolic_distance(o, x, y):
    c = curvature(o)
    return np.arccosh(1 + 2 * c * ((x - y) @ (x - y)) / ((1 - c * (x @ x)) * (1 - c * (y @ y)))) / np.sqrt(c)


def into_ball(o, x):
    most = (1 - 1e-5) / np.sqrt(curvature(o))
    return x * min(1, most / linalg.norm(x))


STIEFEL = dict(
    pieces=lambda o, s: [s], project=lambda o, x: nearest_orthonormal(x), point=lambda o, s: nearest_orthonormal(numbers(*s)), constraint=gram_change,
    inner=euclidean_inner, retract=lambda o, x, v: nearest_orthonormal(x + v),
)

MANIFOLDS = {
    "euclidean": dict(
        pieces=lambda o, s: [[]], map=lambda o, s, z: z, project=lambda o, x: x, point=lambda o, s: numbers(), constraint=lambda x, v: np.zeros(1), inner=euclidean_inner,
        retract=lambda o, x, v: x + v, distance=lambda o, x, y: abs(x - y), cases=[({}, [])],
    ),
    "hyperbolic": dict(
        pieces=lambda o, s: [s], map=lambda o, s, z: np.tanh(np.sqrt(curvature(o)) * linalg.norm(z)) * z / (np.sqrt(curvature(o)) * linalg.norm(z)), project=into_ball,
        point=lambda o, s: numbers(*s) * 0.9 / np.sqrt(curvature(o) * s[0]), constraint=lambda x, v: np.zeros(1),
        inner=lambda o, x, u, v: conformal(curvature(o), x) ** 2 * (u @ v), retract=exponential, transport=gyrated, distance=hyperbolic_distance,
        cases=[({}, [3]), ({"curvature": 0.5}, [7])],
    ),
    "orthogonal": dict(STIEFEL, map=stiefel_map("cayley"), cases=[({}, [4, 4]), ({"by": "polar"}, [3, 3]), ({"by": "householder"}, [4, 4])]),
    "spd": dict(
        pieces=lambda o, s: [s], map=lambda o, s, z: np.tril(z) @ np.tril(z).T + 0.05 * np.eye(s[0]), project=lambda o, x: at_least(x, 0.05),
        point=lambda o, s: at_least((lambda a: a @ a.T)(numbers(*s)), 0.3), constraint=lambda x, v: (v - v.T).ravel(), inner=spd_inner,
        retract=lambda o, x, v: x + v + v @ linalg.solve(x, v) / 2, transport=lambda o, x, y, v: v, cases=[({}, [3, 3]), ({}, [4, 4])],
    ),
    "sphere": dict(
        pieces=lambda o, s: [s], map=lambda o, s, z: o.get("radius", 1) * z / linalg.norm(z), project=lambda o, x: o.get("radius", 1) * x / linalg.norm(x),
        point=lambda o, s: (lambda x: o.get("radius", 1) * x / linalg.norm(x))(numbers(*s)), constraint=lambda x, v: np.array([x @ v]), inner=euclidean_inner,
        retract=lambda o, x, v: o.get("radius", 1) * (x + v) / linalg.norm(x + v),
        distance=lambda o, x, y: o.get("radius", 1) * np.arccos(x @ y / o.get("radius", 1) ** 2), cases=[({}, [5]), ({"radius": 3}, [24])],
    ),
    "stiefel": dict(STIEFEL, map=stiefel_map("polar"), cases=[({}, [3, 3]), ({}, [7, 4]), ({}, [3, 6]), ({"by": "householder"}, [6, 3]), ({"by": "householder"}, [2, 4]), ({"by": "cayley"}, [3, 3])]),
}


def tangent_basis(record, x):
    """Orthonormal, one tangent vector a column."""
    units = np.eye(x.size).reshape(x.size, *x.shape)
    return linalg.null_space(np.stack([record["constraint"](x, unit) for unit in units], axis=1))


def onto(basis, v):
    return (basis @ (basis.T @ v.ravel())).reshape(v.shape)


def gradient(record, o, x, g):
    """The tangent vector whose inner product with every tangent vector is that of g with it."""
    basis = tangent_basis(record, x)
    vectors = [column.reshape(x.shape) for column in basis.T]
    metric = np.array([[record["inner"](o, x, a, b) for b in vectors] for a in vectors])
    return (basis @ linalg.solve(metric, basis.T @ g.ravel())).reshape(x.shape)


def case(record, options, shape):
    free = [numbers(*piece) for piece in record["pieces"](options, shape)]
    value = record["value"](options, shape) if "value" in record else numbers(*shape, scale=2.0)
    found = {f"free.{i}": piece for i, piece in enumerate(free)}
    found.update(value=value, map=record["map"](options, shape, *free), project=record["project"](options, value))
    if "inner" not in record:
        return found
    x, y, g, w = record["point"](options, shape), record["point"](options, shape), numbers(*shape), numbers(*shape)
    v = onto(tangent_basis(record, x), w)
    found.update(x=x, y=y, g=g, w=w, v=v, tangent=v, gradient=gradient(record, options, x, g), inner=record["inner"](options, x, v, v), retract=record["retract"](options, x, v))
    carried = record["transport"](options, x, y, v) if "transport" in record else onto(tangent_basis(record, y), v)
    found.update(transport=carried)
    if "distance" in record:
        found.update(distance=record["distance"](options, x, y))
    return found


def main():
    fixtures = []
    for name, record in {**CONVEX, **MANIFOLDS}.items():
        for options, shape in record["cases"]:
            points = [case(record, options, shape) for _ in range(COUNT)]
            values = {key: [float(f"{entry:.9g}") for point in points for entry in np.ravel(point[key])] for key in points[0]}
            fixtures.append({"set": name, "options": options, "shape": shape, "count": COUNT, "values": values})
    target = pathlib.Path(__file__).parent.parent / "fixtures" / "manifolds.json"
    target.write_text("[\n" + ",\n".join(json.dumps(fixture) for fixture in fixtures) + "\n]\n")
    print(f"{len(fixtures)} cases, {target.stat().st_size} bytes")


main()
