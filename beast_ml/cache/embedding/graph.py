"""MiniLM's weights as one ONNX file.

The graph is written node by node. An export through torch gives a graph that is no faster and loads in twice the
time; this one needs neither torch nor transformers, and is the same to the byte whatever their versions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from beast_ml.errors import EncoderError, MissingExtraError

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["INPUTS", "OUTPUT", "minilm_graph"]

INPUTS: Final = ("ids", "mask")
"""(b, t) int32 both: token ids, and 1 where there is a token."""

OUTPUT: Final = "hidden"
"""(b, t, dim) float32: the last layer. Its mean is left to the caller, who can sum a text's tokens in an order that
does not depend on the texts beside it; onnxruntime's reductions depend on the shape of the whole batch."""

_OPSET: Final = 17
_IR_VERSION: Final = 8
_FUSED: Final = "com.microsoft"
"""Domain of onnxruntime's own operators, where one of them does the work of many."""

_KNOWN: Final = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}


def minilm_graph(folder: Path) -> ModelProto:
    """Return a BERT encoder, such as all-MiniLM-L6-v2, as an ONNX model.

    Parameters
    ----------
    folder
        With ``config.json`` and ``model.safetensors``, see `beast_ml.features.distill.minilm_folder`.

    Raises
    ------
    EncoderError
        If the files are of another kind of model, or damaged.
    MissingExtraError
        If ``onnx`` is not installed.
    """
    try:
        import onnx  # noqa: F401  asked here, so that the builder need not
    except ImportError as error:
        raise MissingExtraError("writing an ONNX file", "train") from error
    try:
        config = json.loads((folder / "config.json").read_bytes())
        weights = load((folder / "model.safetensors").read_bytes())
    except (OSError, ValueError, SafetensorError) as error:
        raise EncoderError(f"no usable weights in {folder}: {error}") from error
    for name, value in _KNOWN.items():
        if config.get(name, value) != value:
            raise EncoderError(f"the model in {folder} has {name} {config[name]!r}, must be {value!r}")
    builder = _Builder(weights, float(config["layer_norm_eps"]), int(config["num_attention_heads"]))
    hidden = builder.embeddings()
    for layer in range(int(config["num_hidden_layers"])):
        hidden = builder.layer(f"encoder.layer.{layer}.", hidden)
    return builder.model(hidden, int(config["hidden_size"]))


class _Builder:
    """Collects nodes and weights; every method returns the name of its output."""

    def __init__(self, weights: Mapping[str, NDArray[Any]], epsilon: float, n_heads: int) -> None:
        self._weights = weights
        self._epsilon = epsilon
        self._n_heads = n_heads
        self._nodes: list[Any] = []
        self._constants: dict[str, NDArray[Any]] = {}

    def embeddings(self) -> str:
        """Words, positions and segment, normalised."""
        tables = [self._weight(f"embeddings.{kind}_embeddings.weight") for kind in ("word", "position", "token_type")]
        norm = [self._weight(f"embeddings.LayerNorm.{kind}") for kind in ("weight", "bias")]
        return self._node(
            "EmbedLayerNormalization", INPUTS[0], "", *tables, *norm, INPUTS[1], to="embedded", epsilon=self._epsilon
        )

    def layer(self, at: str, hidden: str) -> str:
        """One transformer layer: attention, then two dense layers, each added to its input and normalised."""
        names = [f"{at}attention.self.{role}" for role in ("query", "key", "value")]
        projected = [self._product(hidden, name) for name in names]
        biases = self._constant(f"{at}qkv.bias", np.concatenate([self._weights[f"{name}.bias"] for name in names]))
        attended = self._node(
            "MultiHeadAttention",
            *projected,
            biases,
            INPUTS[1],
            to=f"{at}attended",
            num_heads=self._n_heads,
        )
        hidden = self._added(f"{at}attention.output", attended, hidden)
        widened = self._product(hidden, f"{at}intermediate.dense")
        bias = self._weight(f"{at}intermediate.dense.bias")
        activated = self._node("BiasGelu", widened, bias, to=f"{at}activated")
        return self._added(f"{at}output", activated, hidden)

    def model(self, hidden: str, dim: int) -> ModelProto:
        """Return all of it."""
        from onnx import TensorProto, checker, helper, numpy_helper

        inputs = [helper.make_tensor_value_info(name, TensorProto.INT32, ["b", "t"]) for name in INPUTS]
        output = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["b", "t", dim])
        self._nodes.append(helper.make_node("Identity", [hidden], [OUTPUT]))
        constants = [numpy_helper.from_array(array, name) for name, array in self._constants.items()]
        graph = helper.make_graph(self._nodes, "encoder", inputs, [output], constants)
        domains = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_FUSED, 1)]
        model = helper.make_model(graph, opset_imports=domains, ir_version=_IR_VERSION, producer_name="beast-ml")
        checker.check_model(model)
        return model

    def _added(self, at: str, given: str, beside: str) -> str:
        # Not the fused SkipLayerNormalization: onnxruntime 1.32 takes 10% longer with it.
        bias = self._weight(f"{at}.dense.bias")
        shifted = self._node("Add", self._product(given, f"{at}.dense"), bias, to=f"{at}.shifted")
        summed = self._node("Add", shifted, beside, to=f"{at}.summed")
        norm = [self._weight(f"{at}.LayerNorm.{kind}") for kind in ("weight", "bias")]
        return self._node("LayerNormalization", summed, *norm, to=f"{at}.normed", epsilon=self._epsilon)

    def _product(self, given: str, name: str) -> str:
        matrix = self._constant(f"{name}.transposed", self._weights[f"{name}.weight"].T)
        return self._node("MatMul", given, matrix, to=f"{name}.product")

    def _weight(self, name: str) -> str:
        return self._constant(name, self._weights[name])

    def _constant(self, name: str, array: NDArray[Any]) -> str:
        self._constants[name] = np.ascontiguousarray(array, dtype=np.float32)
        return name

    def _node(self, kind: str, *inputs: str, to: str, **attributes: Any) -> str:
        from onnx import helper

        domain = "" if kind in ("Add", "MatMul", "LayerNormalization") else _FUSED
        outputs = [to, f"{to}.lengths"] if kind == "EmbedLayerNormalization" else [to]
        self._nodes.append(helper.make_node(kind, inputs, outputs, domain=domain, **attributes))
        return to
