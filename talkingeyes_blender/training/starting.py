"""Begin a training with the weights of another: a bundle's, the starter's say, or a checkpoint's."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import logging
from pathlib import Path

from torch import nn

from ..errors import TalkingEyesError
from ..inference.bundle import load_bundle
from .export import load_networks

log = logging.getLogger(__name__)


def start_from(networks: nn.ModuleDict, path: Path, head_model: str) -> None:
    """Give a stage's networks the weights of a bundle's folder or of a checkpoint (.pt).

    Their statistics come along, since weights belong to them. A face decoder of another head model than the data's is
    left out: its coefficients are others.

    Raises:
        TalkingEyesError: nothing to be read there, a network is missing, or its sizes are others than the recipe's.
    """
    found, theirs = _read(path)
    for name, network in networks.items():
        if name == "face_decoder" and theirs != head_model:
            log.info("The weights are in the basis of '%s', the data's is '%s': the decoder begins anew.",
                     theirs, head_model)  # fmt: skip
            continue
        source = found.get(name) or (found.get("face_encoder") if name == "gaze_encoder" else None)
        if source is None:
            raise TalkingEyesError(f"{path} holds no '{name}'.", "Choose a bundle, or a checkpoint of the same stage.")
        state = source.state_dict()
        wanted = network.state_dict()
        different = [key for key in wanted if key not in state or state[key].shape != wanted[key].shape]
        if different:
            raise TalkingEyesError(
                f"'{name}' of {path} has other sizes than the recipe's ('{different[0]}' is one of {len(different)}).",
                "Use the recipe, and the --set, that these weights were trained with.",
            )
        network.load_state_dict({key: state[key] for key in wanted})


def _read(path: Path) -> tuple[dict[str, nn.Module], str]:
    """Networks by the bundle's names, and the head model that they belong to."""
    if path.is_dir():
        bundle = load_bundle(path)
        return bundle.networks, bundle.head_model
    networks, state = load_networks(path)
    return networks, state["describe"]["head_model"]
