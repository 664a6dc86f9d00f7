"""What is behind the layers that reuse computes in int8, where it is more than linear layers: ONNX Runtime's."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper

from sb3_efficient.errors import OptionError


class Rest:
    """
    :param proto: Of ``static-int8``
    :param name: Of what the layers before give, (B, F), bytes or float32
    """

    def __init__(self, proto: ModelProto, name: str) -> None:
        # Needed by few, and not by the engine
        from sb3_efficient.engines.onnxruntime import session

        part = rest(proto, name)
        self._name, *self._image = (value.name for value in part.graph.input)
        self._dtype = helper.tensor_dtype_to_np_dtype(part.graph.input[0].type.tensor_type.elem_type)
        self._outputs = [output.name for output in part.graph.output]
        self._session = session(part.SerializeToString(), 1)

    def __call__(self, numbers: np.ndarray, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
        """
        :param numbers: (B, F), of bytes whole numbers from 0 to 255, any dtype
        :param feed: Images, of which only the number matters
        :return: (B, A) for each output
        """
        image = {name: feed[name] for name in self._image}
        return self._session.run(self._outputs, {self._name: numbers.astype(self._dtype), **image})


def rest(proto: ModelProto, name: str) -> ModelProto:
    """
    :param proto: Any graph
    :param name: Of a tensor in it, bytes or float32
    :return: What computes the outputs from that, its first input, and at most from the number of observations
    """
    graph = proto.graph
    nodes, inputs = _behind(proto, name)
    if inputs - {name, graph.input[0].name} or any(
        node.op_type != "Shape" for node in nodes if graph.input[0].name in node.input
    ):
        raise OptionError(
            "The engine 'reuse' wants one row of layers behind the image up to the first linear one, and found "
            "others beside it: take the engine 'onnxruntime' or 'openvino'."
        )
    read = {each for node in nodes for each in node.input}
    constants = [tensor for tensor in graph.initializer if tensor.name in read]
    image = [value for value in graph.input if value.name in inputs]
    (maker,) = (node for node in graph.node if name in node.output)
    element = TensorProto.UINT8 if maker.op_type == "QuantizeLinear" else TensorProto.FLOAT
    # It may be an output, too, which an input cannot be
    taken = helper.make_tensor_value_info(f"{name}/given", element, ["B", None])
    nodes = [helper.make_node("Identity", [taken.name], [name]), *nodes]
    part = helper.make_graph(nodes, "rest", [taken, *image], list(graph.output), constants)
    return helper.make_model(part, opset_imports=list(proto.opset_import), ir_version=proto.ir_version)


def _behind(proto: ModelProto, name: str) -> tuple[list[NodeProto], set[str]]:
    """Nodes that the outputs need beside what computes ``name``, in order, and the names of what these are fed with."""
    constants = {tensor.name for tensor in proto.graph.initializer}
    needed, nodes = {output.name for output in proto.graph.output}, []
    for node in reversed(proto.graph.node):
        if needed & {*node.output} and name not in node.output:
            needed |= {*node.input}
            nodes.append(node)
    made = {each for node in nodes for each in node.output}
    return nodes[::-1], needed - made - constants - {""}
