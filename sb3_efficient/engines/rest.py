"""What is behind the layers that reuse computes in int8, where it is more than linear layers: ONNX Runtime's."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper

from sb3_efficient.errors import OptionError
from sb3_efficient.onnx_graph import attributes
from sb3_efficient.reuse.changes.qdq import QuantizedGraph


class Rest:
    """
    :param proto: Of ``static-int8``
    :param name: Of what the layers before give, (B, F), bytes or float32
    """

    def __init__(self, proto: ModelProto, name: str) -> None:
        # Needed by few, and not by the engine
        from sb3_efficient.engines.onnxruntime import session

        part = rest(proto, name)
        (given,) = part.graph.input
        self._name, self._dtype = given.name, helper.tensor_dtype_to_np_dtype(given.type.tensor_type.elem_type)
        self._outputs = [output.name for output in part.graph.output]
        self._session = session(part.SerializeToString(), 1)

    def __call__(self, numbers: np.ndarray) -> list[np.ndarray]:
        """
        :param numbers: (B, F), of bytes whole numbers from 0 to 255, any dtype
        :return: (B, A) for each output
        """
        return self._session.run(self._outputs, {self._name: numbers.astype(self._dtype)})


def rest(proto: ModelProto, name: str) -> ModelProto:
    """
    :param proto: Of ``static-int8``
    :param name: Of a tensor in it, bytes or float32, (B, F)
    :return: What computes the outputs from that
    """
    graph = QuantizedGraph(proto.graph)
    needed = graph.leading_to(graph.outputs, given=name)
    nodes = [_counted(node, graph.image, name) for node in proto.graph.node if needed & {*node.output} - {name}]
    read, made = ({each for node in nodes for each in getattr(node, side)} for side in ("input", "output"))
    if read - made - graph.constants.keys() - {name, ""}:
        raise OptionError(
            "The engine 'reuse' wants one row of layers behind the image up to the first linear one, and found "
            "others beside it: take the engine 'onnxruntime' or 'openvino'."
        )
    element = TensorProto.UINT8 if graph.makers[name].op_type == "QuantizeLinear" else TensorProto.FLOAT
    # It may be an output, too, which an input cannot be
    given = helper.make_tensor_value_info(f"{name}/given", element, ["B", None])
    nodes = [helper.make_node("Identity", [given.name], [name]), *nodes]
    constants = [tensor for key, tensor in graph.constants.items() if key in read]
    part = helper.make_graph(nodes, "rest", [given], list(proto.graph.output), constants)
    return helper.make_model(part, opset_imports=list(proto.opset_import), ir_version=proto.ir_version)


def _counted(node: NodeProto, image: str, name: str) -> NodeProto:
    """As it is; one that counts images counts what they became."""
    counts = node.op_type == "Shape" and attributes(node).get("end") == 1 and not attributes(node).get("start")
    if not counts or node.input[0] != image:
        return node
    counted = NodeProto()
    counted.CopyFrom(node)
    counted.input[0] = name
    return counted
