"""Which speech encoders there are, and how a stored configuration becomes one."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ..errors import TalkingEyesError
from .mel_encoder import MelEncoder, MelEncoderConfig
from .speech_encoder import SpeechEncoder
from .wav2vec2_encoder import Wav2Vec2Encoder, Wav2Vec2EncoderConfig

_KINDS = {"mel": (MelEncoder, MelEncoderConfig), "wav2vec2": (Wav2Vec2Encoder, Wav2Vec2EncoderConfig)}


def build_encoder(config: dict) -> SpeechEncoder:
    """The encoder that a stored configuration (a dict with ``kind``) describes, with random weights."""
    if config.get("kind") not in _KINDS:
        raise TalkingEyesError(
            f"The speech encoder '{config.get('kind')}' is not known here.", "Use weights that fit this version."
        )
    network, settings = _KINDS[config["kind"]]
    return network(settings(**{key: tuple(v) if isinstance(v, list) else v for key, v in config.items()}))
