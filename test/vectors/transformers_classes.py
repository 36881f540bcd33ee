"""The classes of transformers as an implementation for docs/conformance/check.py, in f64, with autograd's gradients.

    pip install numpy==2.4.6 torch==2.15.0 transformers==5.24.0
    python docs/conformance/check.py test/vectors/transformers_classes.py

The paper's own convention has no class there, and is left out.
"""

import pathlib
import sys
from types import SimpleNamespace

import torch
from torch.func import functional_call
from transformers.models.deepseek_v4.modeling_deepseek_v4 import DeepseekV4HyperConnection, DeepseekV4HyperHead
from transformers.models.hy_v4.modeling_hy_v4 import HYV4HyperConnection
from transformers.models.qwen4_exp.modeling_qwen4_exp import Qwen4ExpTextGatedResidual

sys.path.append(str(pathlib.Path(__file__).parents[1] / "fixtures" / "torch"))
from f64 import in_f64  # noqa: E402

QWEN = {
    "weight": "hc_norm.weight",
    "down": "input_mix_weight_down.weight",
    "up": "input_mix_weight_up.weight",
    "inject": "block_inject_weight.weight",
}
HEAD = {name: f"hc_{name}" for name in ("fn", "scale", "base")}


def config(x, parameters):
    return SimpleNamespace(
        hc_mult=x.shape[1],
        hc_count=x.shape[1],
        hidden_size=x.shape[2],
        hc_sinkhorn_iters=20,
        hc_eps=1e-6,
        hc_magnitude=2.0,
        rms_norm_eps=1e-6,
        hc_lowrank=parameters["down"].shape[0] if "down" in parameters else None,
    )


def compute(convention, x, parameters):
    """x [t, n, c] and parameters as tensors; the output, and the coefficients that the class gives."""
    options = config(x, parameters)
    if convention.startswith("qwen4"):
        module = Qwen4ExpTextGatedResidual(options, use_combine=not convention.endswith("head")).double()
        named = {QWEN[name]: value for name, value in parameters.items()}
        result = functional_call(module, named, (x.flatten(1)[None],))
        if convention.endswith("head"):
            return {"y": result[0]}
        z, _, write = result
        return {"y": x + write[0][:, :, None] * torch.tanh(z)[0][:, None, :]}
    if convention.endswith("head"):
        named = {HEAD[name]: value for name, value in parameters.items()}
        return {"y": functional_call(DeepseekV4HyperHead(options).double(), named, (x[None],))[0]}
    if convention == "hy-v4":
        write, z = functional_call(HYV4HyperConnection(options).double(), parameters, (x[None],))
        return {"y": x + write[0][:, :, None] * torch.tanh(z)[0][:, None, :], "write": write[0]}
    write, mix, z = functional_call(DeepseekV4HyperConnection(options).double(), parameters, (x[None],))
    new = write[0][:, :, None] * torch.tanh(z)[0][:, None, :]
    # As the decoder layers apply it.
    mixed = torch.matmul(mix.transpose(-1, -2), x[None])[0]
    return {"y": new + mixed, "write": write[0], "mix": mix[0]}


def tensors(x, parameters, gradients):
    def tensor(value):
        return torch.tensor(value, dtype=torch.float64, requires_grad=gradients)

    return tensor(x), {name: tensor(value) for name, value in parameters.items()}


def forward(convention, x, parameters):
    if convention == "mhc-paper":
        return None
    with in_f64():
        return {name: value.numpy() for name, value in compute(convention, *tensors(x, parameters, False)).items()}


def backward(convention, x, parameters, dy):
    with in_f64():
        value, named = tensors(x, parameters, True)
        compute(convention, value, named)["y"].backward(torch.tensor(dy))
        return {"x": value.grad.numpy(), **{name: p.grad.numpy() for name, p in named.items()}}
