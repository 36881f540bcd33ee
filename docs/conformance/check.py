"""Checks an implementation of a residual stream against the vectors beside this file. It needs numpy alone.

    python check.py mine.py [--tolerance 1e-5] [--lanes 4] [deepseek-v4 mhc-paper …]

mine.py has two functions. Arrays are f64; README.md says what each of them is.

    def forward(convention, x, parameters):        # -> {"y": …, "read": …, "write": …, "mix": …}
    def backward(convention, x, parameters, dy):   # -> {"x": …, and the gradient of each parameter by its name}

What forward does not give but y is not looked at. A convention of which forward returns None is left out.
"""

import argparse
import importlib.util
import json
import pathlib
import sys

import numpy as np


def array(tensor):
    return np.array(tensor["data"], dtype=np.float64).reshape(tensor["shape"])


def off(got, expected, scale):
    """The largest difference, as a share of what is large there; infinite for another shape and for no number."""
    got = np.asarray(got, dtype=np.float64)
    if got.shape != expected.shape or not np.isfinite(got).all():
        return float("inf")
    return float(np.abs(got - expected).max(initial=0) / scale)


def largest(arrays):
    return max([float(np.abs(a).max(initial=0)) for a in arrays] + [1e-300])


def compare(got, expected, tolerance, what):
    """Lines about tensors that are wrong. What is a millionth of the others may be off by a share of that."""
    most = largest(expected.values())
    wrong = []
    for name, value in expected.items():
        if name not in got:
            wrong.append(f"{what} {name}: is not given")
            continue
        scale = max(largest([value]), 1e-6 * most)
        distance = off(got[name], value, scale)
        if distance <= tolerance:
            continue
        turned = name == "mix" and off(np.swapaxes(np.asarray(got[name]), -1, -2), value, scale) <= tolerance
        wrong.append(f"{what} {name}: off by {distance:.1e}" + (": it is transposed" if turned else ""))
    return wrong


def check(mine, convention, case, tolerance):
    x, parameters = array(case["inputs"]["x"]), {k: array(v) for k, v in case["parameters"].items()}
    got = mine.forward(convention, x, parameters)
    if got is None:
        return None
    coefficients = {k: array(v) for k, v in case["coefficients"].items() if k in got}
    wrong = []
    for name, value in [*coefficients.items(), ("y", array(case["y"]))]:
        wrong += compare(got, {name: value}, tolerance, "value")
    back = mine.backward(convention, x, parameters, array(case["dy"]))
    return wrong + compare(back, {k: array(v) for k, v in case["gradients"].items()}, tolerance, "gradient")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mine")
    parser.add_argument("conventions", nargs="*")
    parser.add_argument("--tolerance", type=float, default=1e-9)
    parser.add_argument("--lanes", type=int, help="the vectors of so many lanes alone")
    options = parser.parse_intermixed_args()
    spec = importlib.util.spec_from_file_location("mine", options.mine)
    mine = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mine)
    counts = {"right": 0, "wrong": 0, "left out": 0}
    for path in sorted((pathlib.Path(__file__).parent / "vectors").glob("*.json")):
        vectors = json.loads(path.read_text())
        if options.conventions and vectors["convention"] not in options.conventions:
            continue
        if options.lanes not in (None, vectors["lanes"]):
            continue
        for case in vectors["cases"]:
            wrong = check(mine, vectors["convention"], case, options.tolerance)
            counts["left out" if wrong is None else "wrong" if wrong else "right"] += 1
            for line in wrong or []:
                print(f"{vectors['convention']}, {vectors['lanes']} lanes, {case['name']}: {line}")
    print(", ".join(f"{count} {what}" for what, count in counts.items()))
    sys.exit(0 if counts["right"] and not counts["wrong"] else 1)


main()
