"""Weight bundles: a folder with a description (JSON), one safetensors file a network, and a model card.

    bundle.json        version, name, head_model, fps, networks, generation, recipe
    <network>.<hash>.safetensors
    MODEL_CARD.md

``bundle.json`` alone says which files belong to the bundle, and it is written last, by a rename: a bundle that is saved
over another is the old one until that moment and the new one from then on. A file's name holds the start of its hash,
so that no file that the old description names is ever overwritten. Nothing is ever unpickled.
"""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from ..errors import TalkingEyesError
from ..motion import FPS
from .encoders import build_encoder
from .face_decoder import FaceDecoder, FaceDecoderConfig
from .gaze_decoder import GazeDecoder, GazeDecoderConfig
from .gaze_vqvae import GazeVQVAE, GazeVQVAEConfig
from .head_vae import HeadVAE, HeadVAEConfig
from .speech_encoder import SpeechEncoder

VERSION = 1
"""Of the description. It rises when an older version could not read it rightly."""

DESCRIPTION = "bundle.json"
MODEL_CARD = "MODEL_CARD.md"

DEFAULT = Path(__file__).resolve().parents[1] / "weights"
"""The starter bundle."""

_HALF_MAX = torch.finfo(torch.float16).max


def _builder(network: type[nn.Module], config: type) -> Callable[[dict], nn.Module]:
    return lambda stored: network(config(**stored))


_BUILDERS: dict[str, Callable[[dict], nn.Module]] = {
    "face_encoder": build_encoder,
    "face_decoder": _builder(FaceDecoder, FaceDecoderConfig),
    "gaze_encoder": build_encoder,
    "gaze_vqvae": _builder(GazeVQVAE, GazeVQVAEConfig),
    "gaze_decoder": _builder(GazeDecoder, GazeDecoderConfig),
    "head_vae": _builder(HeadVAE, HeadVAEConfig),
}

NETWORKS = tuple(_BUILDERS)
"""Names of the networks of a bundle."""

OPTIONAL = ("gaze_encoder",)
"""Networks that a bundle may lack: without a gaze encoder, the face encoder's features serve gaze and head too."""


@dataclasses.dataclass(frozen=True, eq=False)
class Bundle:
    """Networks that were trained together, in evaluation mode, and what is known of them."""

    folder: Path
    name: str
    head_model: str
    """Identity of the head model whose expression basis the face decoder speaks."""
    fps: float
    networks: dict[str, nn.Module]
    generation: dict[str, Any]
    """Defaults of ``GenerationSettings`` that suit these weights: gaze, temperature, top_k."""
    recipe: dict[str, Any]
    """How the weights were made, as training wrote it."""
    digests: dict[str, str]
    """Hash of each network's weights and configuration."""

    def digest_of(self, network: nn.Module) -> str:
        """The hash of one of ``networks``."""
        return next(self.digests[key] for key, each in self.networks.items() if each is network)

    @property
    def face_encoder(self) -> SpeechEncoder:
        return self.networks["face_encoder"]

    @property
    def gaze_encoder(self) -> SpeechEncoder:
        """The encoder whose features the head VAE and the gaze decoder take; it may be the face encoder itself."""
        return self.networks.get("gaze_encoder", self.face_encoder)

    @property
    def face_decoder(self) -> FaceDecoder:
        return self.networks["face_decoder"]

    @property
    def gaze_vqvae(self) -> GazeVQVAE:
        return self.networks["gaze_vqvae"]

    @property
    def gaze_decoder(self) -> GazeDecoder:
        return self.networks["gaze_decoder"]

    @property
    def head_vae(self) -> HeadVAE:
        return self.networks["head_vae"]


def save_bundle(
    folder: str | os.PathLike,
    networks: Mapping[str, nn.Module],
    *,
    name: str,
    head_model: str,
    recipe: Mapping[str, Any] | None = None,
    generation: Mapping[str, Any] | None = None,
    model_card: str | None = None,
    half: bool = True,
) -> None:
    """Write ``networks`` (keys of ``NETWORKS``; those of ``OPTIONAL`` may be absent) as a bundle.

    Each network carries its configuration as the dataclass ``.config``. ``half`` stores matrices as float16; vectors
    (biases, statistics) stay float32, as do matrices that float16 could not hold. ``recipe`` and ``generation`` must be
    plain data. Other files in the folder are left alone, an older ``MODEL_CARD.md`` too unless ``model_card`` is given.

    Raises:
        TalkingEyesError: the networks do not fit together, hold values that are not finite, or cannot be written.
    """
    folder = Path(folder)
    _check_fit(networks, f"The bundle '{name}'")
    description: dict[str, Any] = {
        "version": VERSION,
        "name": name,
        "head_model": head_model,
        "fps": FPS,
        "networks": {},
        "generation": dict(generation or {}),
        "recipe": dict(recipe or {}),
    }
    with _writing(folder), contextlib.ExitStack() as on_failure:
        folder.mkdir(parents=True, exist_ok=True)
        before = _files_named_in(folder / DESCRIPTION)
        for key in NETWORKS:
            if key in networks:
                data = safetensors.torch.save(_stored_tensors(key, networks[key], half))
                digest = hashlib.sha256(data).hexdigest()
                file = f"{key}.{digest[:8]}.safetensors"
                _write_beside(folder / file, data)
                if file not in before:
                    on_failure.callback((folder / file).unlink, missing_ok=True)
                config = dataclasses.asdict(networks[key].config)
                description["networks"][key] = {"config": config, "file": file, "sha256": digest}
        if model_card is not None:
            _write_beside(folder / MODEL_CARD, model_card.encode())
        text = json.dumps(description, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        _write_beside(folder / DESCRIPTION, text.encode())
        on_failure.pop_all()
        for file in before - {entry["file"] for entry in description["networks"].values()}:
            (folder / file).unlink(missing_ok=True)


def load_bundle(folder: str | os.PathLike | None = None, device: str | torch.device = "cpu") -> Bundle:
    """Read a bundle (the starter bundle by default) as float32 networks on ``device``, in evaluation mode.

    Each file's SHA-256 is compared with the description's before anything of it is used.

    Raises:
        TalkingEyesError: no bundle there, another version's, a file that is missing, damaged or does not fit.
    """
    folder = Path(folder) if folder is not None else DEFAULT
    described = _read_description(folder)
    networks = {
        key: _load_network(folder, key, described["networks"][key]).to(device).eval().requires_grad_(False)
        for key in NETWORKS
        if key in described["networks"]
    }
    _check_fit(networks, f"The weight bundle {folder}")
    return Bundle(
        folder=folder,
        name=str(described["name"]),
        head_model=described["head_model"],
        fps=float(described["fps"]),
        networks=networks,
        generation=dict(described.get("generation") or {}),
        recipe=dict(described.get("recipe") or {}),
        digests={key: _identity(described["networks"][key]) for key in networks},
    )


# -- writing


def _stored_tensors(key: str, network: nn.Module, half: bool) -> dict[str, Tensor]:
    tensors = {}
    for name, tensor in network.state_dict().items():
        tensor = tensor.detach().to("cpu")
        if not torch.isfinite(tensor).all():
            raise TalkingEyesError(
                f"The network '{key}' holds values that are not finite (in '{name}').", "Its training has diverged."
            )
        if half and tensor.is_floating_point() and tensor.ndim > 1 and (tensor.abs() < _HALF_MAX).all():
            tensor = tensor.half()
        # A copy: safetensors refuses tensors that share memory.
        tensors[name] = tensor.clone(memory_format=torch.contiguous_format)
    return tensors


def _write_beside(path: Path, data: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)  # mkstemp's files are for their owner alone
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TalkingEyesError(
            f"The weight bundle {folder} could not be written ({error.strerror}).",
            "Free some space, or choose a folder that you may write to.",
        ) from error


def _files_named_in(description: Path) -> set[str]:
    """Weight files of the bundle that is to be replaced; none where there is no sound description."""
    try:
        entries = json.loads(description.read_bytes())["networks"].values()
        names = {str(entry["file"]) for entry in entries}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()
    return {name for name in names if Path(name).name == name and name.endswith(".safetensors")}


# -- reading


def _read_description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    try:
        described = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise TalkingEyesError(
            f"There is no weight bundle in {folder}: {DESCRIPTION} is missing.",
            "Choose a folder that holds one, or leave the setting empty for the weights that come with the add-on.",
        ) from error
    except OSError as error:
        raise TalkingEyesError(f"{path} could not be read ({error.strerror}).") from error
    except ValueError as error:
        raise TalkingEyesError(f"{path} is damaged: it is not JSON.", "Copy the bundle again.") from error
    if not isinstance(described, dict) or not isinstance(described.get("version"), int):
        raise TalkingEyesError(f"{path} does not describe a weight bundle.", "Choose another folder.")
    if described["version"] != VERSION:
        newer = described["version"] > VERSION
        raise TalkingEyesError(
            f"The weight bundle {folder} has version {described['version']}; this add-on reads version {VERSION}.",
            "Update the add-on." if newer else "Use newer weights.",
        )
    for key, kind in {"name": str, "head_model": str, "fps": (int, float), "networks": dict}.items():
        if not isinstance(described.get(key), kind) or isinstance(described[key], bool):
            raise TalkingEyesError(f"{path} does not say its '{key}'.", "Copy the bundle again.")
    if described["fps"] != FPS:
        raise TalkingEyesError(
            f"The weight bundle {folder} runs at {described['fps']} frames a second.", f"Use weights for {FPS:g}."
        )
    for key in ("generation", "recipe"):
        if not isinstance(described.get(key) or {}, dict):
            raise TalkingEyesError(f"{path} is damaged: its '{key}' is not a table.", "Copy the bundle again.")
    missing = [key for key in NETWORKS if key not in described["networks"] and key not in OPTIONAL]
    if missing:
        raise TalkingEyesError(f"The weight bundle {folder} lacks {', '.join(missing)}.", "Export it again, whole.")
    return described


def _identity(entry: dict[str, Any]) -> str:
    described = json.dumps([entry["sha256"], entry["config"]], sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()


def _load_network(folder: Path, key: str, entry: Any) -> nn.Module:
    if not isinstance(entry, dict) or not isinstance(entry.get("config"), dict):
        raise TalkingEyesError(f"{folder / DESCRIPTION} does not describe '{key}' rightly.", "Copy the bundle again.")
    tensors = _read_tensors(folder, entry.get("file"), entry.get("sha256"))
    try:
        network = _BUILDERS[key](entry["config"])
    except ImportError as error:
        raise TalkingEyesError(
            f"The weight bundle {folder} needs the Python package '{error.name}' for its {key.replace('_', ' ')}.",
            "Install it into the Python that runs the models, or use the starter weights.",
        ) from error
    except (TypeError, ValueError, RuntimeError, AssertionError, AttributeError) as error:
        raise TalkingEyesError(
            f"The configuration of '{key}' in {folder / DESCRIPTION} does not fit this version ({error}).",
            "Use weights that were made for it.",
        ) from error
    _fill(network, tensors, folder / entry["file"])
    return network


def _read_tensors(folder: Path, file: Any, digest: Any) -> dict[str, Tensor]:
    # A name and no path: a description must not reach for files outside its folder.
    if not isinstance(file, str) or Path(file).name != file or "\\" in file or not file.endswith(".safetensors"):
        raise TalkingEyesError(
            f"{folder / DESCRIPTION} names the weight file {file!r}, which is not a .safetensors file beside it.",
            "Do not trust this bundle.",
        )
    path = folder / file
    try:
        with path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if found != digest:
            raise TalkingEyesError(
                f"The weight file {path} is not the one that its bundle describes (its SHA-256 is {found[:12]}..., "
                f"not {str(digest)[:12]}...).",
                "It is damaged or was exchanged: copy the bundle again.",
            )
        return safetensors.torch.load_file(path)
    except FileNotFoundError as error:
        raise TalkingEyesError(f"The weight file {path} is missing.", "Copy the bundle again, whole.") from error
    except OSError as error:
        raise TalkingEyesError(f"The weight file {path} could not be read ({error.strerror}).") from error
    except safetensors.SafetensorError as error:
        raise TalkingEyesError(
            f"The weight file {path} is not a safetensors file ({error}).", "Copy the bundle again."
        ) from error


def _fill(network: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    wanted = network.state_dict()
    faults = [f"'{name}' is missing" for name in wanted if name not in tensors]
    faults += [f"'{name}' is unknown" for name in tensors if name not in wanted]
    faults += [
        f"'{name}' has the shape {tuple(tensors[name].shape)}, not {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    faults += [
        f"'{name}' holds values that are not finite" for name, t in tensors.items() if not torch.isfinite(t).all()
    ]
    if faults:
        more = f" and {len(faults) - 1} faults more" if len(faults) > 1 else ""
        raise TalkingEyesError(
            f"The weights in {path} do not fit their configuration: {faults[0]}{more}.", "Export the bundle again."
        )
    network.load_state_dict(tensors)  # copies into the network's own float32


# -- both


def _check_fit(networks: Mapping[str, nn.Module], what: str) -> None:
    """Raise TalkingEyesError unless the networks are those of a bundle and fit together."""
    unknown = sorted(set(networks) - set(NETWORKS))
    missing = [key for key in NETWORKS if key not in networks and key not in OPTIONAL]
    if unknown or missing:
        fault = f"holds the unknown {', '.join(unknown)}" if unknown else f"lacks {', '.join(missing)}"
        raise TalkingEyesError(f"{what} {fault}.", f"A bundle holds {', '.join(NETWORKS)}.")
    face_width = networks["face_encoder"].feature_dim
    gaze_width = networks.get("gaze_encoder", networks["face_encoder"]).feature_dim
    pairs = {
        "face_decoder's speech_dim and the face encoder's features": (
            networks["face_decoder"].config.speech_dim, face_width,
        ),
        "gaze_decoder's speech_dim and the gaze encoder's features": (
            networks["gaze_decoder"].config.speech_dim, gaze_width,
        ),
        "head_vae's speech_dim and the gaze encoder's features": (networks["head_vae"].config.speech_dim, gaze_width),
        "gaze_decoder's code_dim and the gaze VQ-VAE's": (
            networks["gaze_decoder"].config.code_dim, networks["gaze_vqvae"].config.code_dim,
        ),
    }  # fmt: skip
    if networks["gaze_decoder"].config.jumps:
        pairs["gaze_decoder's jumps and the gaze VQ-VAE's codes"] = (
            networks["gaze_decoder"].config.jumps,
            networks["gaze_vqvae"].config.codes,
        )
    for pair, (one, other) in pairs.items():
        if one != other:
            raise TalkingEyesError(f"{what} does not fit together: {pair} are {one} and {other}.", "Export it again.")
