"""
The file of a compressed policy: an ordinary zip of ``manifest.json``, ``network.onnx`` and ``weights.safetensors``.

The comment of the zip is the SHA-256 of all bytes before it, and is compared before anything else is read. The network
has no weights in it and refers to no other file. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from onnx import ModelProto, numpy_helper
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from sb3_efficient.errors import ArtifactError
from sb3_efficient.storage import decode, encode

FORMAT = 1
NAMES = ("manifest.json", "network.onnx", "weights.safetensors")
_DIGEST = 64
#: What comes of a manifest of another shape
_MALFORMED = (AttributeError, KeyError, TypeError, ValueError)
_WRITTEN_BY = ("sb3-efficient", "stable-baselines3", "torch", "onnx")


def pack(manifest: dict[str, Any], proto: ModelProto) -> bytes:
    """
    :param manifest: What is to be known about the network, ready for JSON
    :param proto: Stays as it is
    :return: The same bytes for the same policy and versions
    """
    network = ModelProto()
    network.CopyFrom(proto)
    tensors: dict[str, Any] = {}
    weights: dict[str, np.ndarray] = {}
    for tensor in network.graph.initializer:
        array = numpy_helper.to_array(tensor)
        encoding, parts = encode(array)
        tensors[tensor.name] = {"encoding": encoding, "dtype": str(array.dtype), "shape": list(array.shape)}
        weights |= {f"{tensor.name}/{part}": np.ascontiguousarray(value) for part, value in parts.items()}
    del network.graph.initializer[:]
    versions = {name: version(name) for name in _WRITTEN_BY}
    head = {"format": FORMAT, "versions": versions, **manifest, "tensors": tensors}
    contents = (json.dumps(head, indent=1).encode(), network.SerializeToString(), save_tensors(weights))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in zip(NAMES, contents, strict=True):
            # Without the time of day
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED, 9)
        archive.comment = b"0" * _DIGEST
    data = buffer.getvalue()[:-_DIGEST]
    return data + hashlib.sha256(data).hexdigest().encode()


def unpack(path: Path) -> tuple[dict[str, Any], ModelProto]:
    """
    :param path: A file that :func:`pack` gave the bytes of
    :return: Manifest and network
    """
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", error)
        reason = f"{str(path)!r} cannot be read ({why}): give the path that the policy was saved to."
        raise ArtifactError(reason) from error
    if hashlib.sha256(data[:-_DIGEST]).hexdigest().encode() != data[-_DIGEST:]:
        raise ArtifactError(f"{path} {_what_it_is(data)}")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            manifest = json.loads(archive.read("manifest.json"))
            if manifest["format"] > FORMAT:
                written_by = (manifest.get("versions") or {}).get("sb3-efficient")
                raise ArtifactError(
                    f"{path} has format {manifest['format']} (written by sb3-efficient {written_by}), and this version "
                    f"reads up to {FORMAT}: pip install --upgrade sb3-efficient."
                )
            network = ModelProto.FromString(archive.read("network.onnx"))
            weights = load_tensors(archive.read("weights.safetensors"))
        _fill(network, manifest["tensors"], weights)
    except (*_MALFORMED, DecodeError, SafetensorError, zipfile.BadZipFile) as error:
        raise ArtifactError(f"{path} has the right digest and is no policy of sb3-efficient: {error!r}.") from error
    return manifest, network


def _fill(network: ModelProto, tensors: dict[str, Any], weights: dict[str, np.ndarray]) -> None:
    if network.graph.initializer:
        raise ValueError("weights inside the network")
    for name, entry in tensors.items():
        own = {key.rpartition("/")[2]: value for key, value in weights.items() if key.rpartition("/")[0] == name}
        array = decode(entry["encoding"], own, np.dtype(entry["dtype"]), tuple(entry["shape"]))
        network.graph.initializer.append(numpy_helper.from_array(array, name))


def _what_it_is(data: bytes) -> str:
    """Why a file is not what it should be."""
    retry = "copy or download it again."
    if data[:1] == b"\x80":
        return "is a pickle, which may run any code: load_policy reads files of CompressedPolicy.save only."
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, OverflowError, NotImplementedError):
        if data[:2] == b"PK":
            return f"is damaged or not complete ({len(data)} bytes): {retry}"
        return "is no policy of sb3-efficient: load_policy reads files of CompressedPolicy.save."
    if "policy.pth" in names:
        return "is a Stable-Baselines3 model, not a compressed policy: load it with PPO.load (or its own algorithm)."
    if any(name.endswith("data.pkl") for name in names):
        return "is a file of torch.save with a pickle inside, which may run any code: load_policy reads no pickles."
    if not set(NAMES) <= set(names):
        return "is a zip, but no policy of sb3-efficient: load_policy reads files of CompressedPolicy.save."
    return f"was changed after it was written, its SHA-256 is not the one in it: {retry}"
