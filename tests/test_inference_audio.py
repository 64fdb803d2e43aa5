"""Reading sound: every kind of file, rate and trim, and every kind of bad file."""

# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import scipy.signal
import soundfile

from talkingeyes_blender.errors import TalkingEyesError
from talkingeyes_blender.inference import audio
from talkingeyes_blender.inference.audio import AudioClip, read_audio


def tone(seconds: float, rate: int, hertz: float = 440.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def refusal(source, *words: str, **trim) -> TalkingEyesError:
    with pytest.raises(TalkingEyesError) as caught:
        read_audio(source, **trim)
    for word in words:
        assert word in caught.value.message, caught.value
    return caught.value


# -- what is read


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000, 96000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_rate_and_channels(tmp_path, rate, channels):
    sound = tone(1.0, rate)
    soundfile.write(tmp_path / "x.wav", np.repeat(sound[:, None], channels, axis=1), rate, subtype="FLOAT")
    clip = read_audio(tmp_path / "x.wav")
    assert clip.rate == 16000 and clip.samples.dtype == np.float32 and clip.samples.shape == (16000,)
    assert clip.frames == 25 and clip.duration == 1.0
    inner = slice(400, -400)
    assert np.abs(clip.samples[inner] - tone(1.0, 16000)[inner]).max() < 2e-3


def test_channels_are_averaged(tmp_path):
    left, right = tone(0.5, 16000, 300), tone(0.5, 16000, 900)
    soundfile.write(tmp_path / "x.wav", np.stack([left, right], axis=1), 16000, subtype="FLOAT")
    assert np.allclose(read_audio(tmp_path / "x.wav").samples, (left + right) / 2, atol=1e-6)


@pytest.mark.parametrize(
    ("format", "subtype"),
    [
        ("WAV", "PCM_U8"), ("WAV", "PCM_24"), ("WAV", "DOUBLE"), ("WAV", "ULAW"), ("AIFF", "PCM_16"),
        ("CAF", "ALAC_16"), ("W64", "PCM_16"), ("RF64", "PCM_16"),
        ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["x.wav", "x.raw", "x"])
def test_known_by_content_and_not_by_name(tmp_path, format, subtype, name):
    rate = 48000
    soundfile.write(tmp_path / name, tone(1.0, rate), rate, format=format, subtype=subtype)
    clip = read_audio(tmp_path / name)
    assert abs(clip.duration - 1.0) < 0.08  # lossy coders pad
    peaks = np.abs(np.fft.rfft(clip.samples[2000:14000]))
    assert abs(np.argmax(peaks) * 16000 / 12000 - 440) < 3
    assert 0.25 < np.abs(clip.samples[4000:12000]).max() < 0.36
    again = read_audio((tmp_path / name).read_bytes())
    assert np.array_equal(again.samples, clip.samples) and again.digest == clip.digest


def test_real_recordings(testdata):
    for path in sorted((testdata / "speech").iterdir()):
        clip = read_audio(path)
        assert clip.duration == pytest.approx(soundfile.info(path).duration, abs=0.1)
        assert 0.02 < clip.samples.std() < 0.5


@pytest.mark.parametrize("rate", [8000, 11025, 44100, 44101, 48000])
def test_blocks_equal_the_whole(monkeypatch, rate):
    """Cut into awkward pieces, the result is what scipy makes of the whole at once."""
    monkeypatch.setattr(audio, "_BLOCK_SECONDS", 0.3)
    sound = np.random.default_rng(0).standard_normal(int(2.345 * rate)).astype(np.float32)
    pieces = np.split(sound, [1, 7, 5000, 5001, 12000])
    resampled = np.concatenate(list(audio._resampled(pieces, rate)))
    divisor = np.gcd(rate, 16000)
    whole = scipy.signal.resample_poly(sound.astype(np.float64), 16000 // divisor, rate // divisor)
    assert len(resampled) == len(whole) == -(-len(sound) * 16000 // rate)
    assert np.abs(resampled - whole).max() < 1e-4


def test_a_long_file_keeps_memory_small(tmp_path):
    """Six minutes of 48 kHz stereo are 138 MB as floats; reading them needs little more than the result's 23 MB."""
    import tracemalloc

    with soundfile.SoundFile(tmp_path / "long.flac", "w", 48000, 2, format="FLAC") as file:
        for _ in range(36):
            file.write(np.zeros((480000, 2), np.float32))
    tracemalloc.start()
    try:
        clip = read_audio(tmp_path / "long.flac")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert clip.duration == 360
    assert peak < 70e6


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG", "MP3"])
def test_trim(tmp_path, format):
    rate = 44100
    sound = np.concatenate([tone(1.0, rate, hertz) for hertz in (300, 600, 1200)])
    soundfile.write(tmp_path / "x", sound, rate, format=format)
    whole, part = read_audio(tmp_path / "x"), read_audio(tmp_path / "x", start=1.0, duration=0.5)
    assert len(part.samples) == 8000
    assert np.argmax(np.abs(np.fft.rfft(part.samples))) * 2 == pytest.approx(600, abs=4)
    assert np.abs(part.samples - whole.samples[16000:24000])[200:-200].max() < 0.02
    assert len(read_audio(tmp_path / "x", start=2.5, duration=100).samples) == pytest.approx(8000, abs=800)


@pytest.mark.parametrize("samples", [1, 2, 100, 639, 640, 641, 3200])
def test_short_clips(tmp_path, samples):
    soundfile.write(tmp_path / "x.wav", tone(1, 16000)[:samples], 16000)
    clip = read_audio(tmp_path / "x.wav")
    assert len(clip.samples) == samples and clip.frames == max(1, -(-samples // 640))


def test_floats_that_are_integers_are_scaled(tmp_path):
    soundfile.write(tmp_path / "x.wav", tone(0.5, 16000) * 32768, 16000, subtype="FLOAT")
    assert np.abs(read_audio(tmp_path / "x.wav").samples).max() == pytest.approx(1.0)
    soundfile.write(tmp_path / "y.wav", tone(0.5, 16000) * 4, 16000, subtype="FLOAT")
    assert np.abs(read_audio(tmp_path / "y.wav").samples).max() == pytest.approx(1.2, abs=0.01)


def test_truncated_and_streamed_files_give_what_is_there(tmp_path):
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(1.0, 16000), 16000, format="WAV", subtype="PCM_16")
    data = buffer.getvalue()
    assert len(read_audio(data[: 44 + 2 * 5000]).samples) == 5000
    at = data.index(b"data") + 4
    streamed = data[:4] + b"\xff\xff\xff\xff" + data[8:at] + b"\xff\xff\xff\xff" + data[at + 4 :]
    assert len(read_audio(streamed).samples) == 16000


def test_digest_follows_content_and_trim(tmp_path):
    sound = tone(1.0, 16000) * np.linspace(0, 1, 16000, dtype=np.float32)
    soundfile.write(tmp_path / "a.wav", sound, 16000)
    shutil.copy(tmp_path / "a.wav", tmp_path / "b.wav")
    one = read_audio(tmp_path / "a.wav")
    assert one.digest == read_audio(tmp_path / "b.wav").digest == read_audio(tmp_path / "a.wav", 0.0, 1.0).digest
    assert one.digest != read_audio(tmp_path / "a.wav", 0.1).digest
    assert one.digest != read_audio(tmp_path / "a.wav", 0.0, 0.9).digest


# -- what is not


def test_missing_folder_and_unreadable(tmp_path):
    refusal(tmp_path / "none.wav", "does not exist", "none.wav")
    refusal(str(tmp_path), "is a folder")
    refusal("a\0b.wav", "could not be opened")
    secret = tmp_path / "secret.wav"
    soundfile.write(secret, tone(0.1, 16000), 16000)
    secret.chmod(0)
    if not os.access(secret, os.R_OK):
        refusal(secret, "could not be opened")


def test_empty_and_soundless(tmp_path):
    (tmp_path / "empty.wav").touch()
    refusal(tmp_path / "empty.wav", "is empty")
    refusal(b"", "is empty")
    soundfile.write(tmp_path / "none.wav", np.zeros(0, np.float32), 16000)
    refusal(tmp_path / "none.wav", "holds no sound")


def test_text_named_wav(tmp_path):
    (tmp_path / "text.wav").write_text("This is not sound.\n" * 30)
    assert "WAV" in refusal(tmp_path / "text.wav", "is a text").hint


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x1cftypisom", "MP4"), (b"\x1a\x45\xdf\xa3", "Matroska"), (b"RIFF\0\0\0\0AVI ", "AVI"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "Windows Media"), (b"FLV\x01", "Flash"), (b"\x00\x00\x01\xba", "MPEG"),
        ((b"G" + bytes(187)) * 2 + b"G", "MPEG"), (b"\xff\xf1\x50\x40", "AAC"),
        (b"\x0b\x77", "AC-3"), (b"#!AMR\n", "AMR"),
    ],
)  # fmt: skip
def test_containers_that_are_not_read(head, kind):
    error = refusal(head + bytes(3000), kind, "not read")
    assert "ffmpeg" in error.hint


def test_noise_of_bytes():
    refusal(np.random.default_rng(0).bytes(20000), "not sound in a format that is known")
    refusal(bytes(5000), "not sound in a format that is known")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_samples_that_are_not_numbers(tmp_path, bad, rate):
    sound = tone(2.0, rate)
    sound[int(1.5 * rate)] = bad
    soundfile.write(tmp_path / "x.wav", sound, rate, subtype="FLOAT")
    refusal(tmp_path / "x.wav", "not numbers", "1.500 s")
    refusal(tmp_path / "x.wav", "1.500 s", start=1.0)
    assert read_audio(tmp_path / "x.wav", duration=1.0).duration == 1.0  # the bad one is trimmed away


@pytest.mark.parametrize(
    ("trim", "words"),
    [
        (dict(duration=0.0), "no sound to work on"), (dict(duration=-1.0), "no sound to work on"),
        (dict(duration=float("nan")), "no sound to work on"), (dict(start=-0.1), "starts at"),
        (dict(start=float("inf")), "starts at"), (dict(start=1.0), "1.00 s long"),
        (dict(start=5.0, duration=1), "1.00 s long"),
    ],
)  # fmt: skip
def test_bad_trims(tmp_path, trim, words):
    soundfile.write(tmp_path / "x.wav", tone(1.0, 44100), 44100)
    refusal(tmp_path / "x.wav", words, **trim)


def test_absurd_rate_and_length(tmp_path, monkeypatch):
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(0.1, 16000), 16000, format="WAV", subtype="PCM_16")
    data = bytearray(buffer.getvalue())
    data[24:28] = struct.pack("<I", 3)
    refusal(bytes(data), "3 samples a second")
    monkeypatch.setattr(audio, "MAX_SECONDS", 0.05)
    refusal(buffer.getvalue(), "longer than")


def test_a_damaged_flac_is_refused_or_cut_but_never_crashes(tmp_path):
    soundfile.write(tmp_path / "x.flac", np.random.default_rng(0).standard_normal(48000) * 0.1, 16000)
    data = bytearray((tmp_path / "x.flac").read_bytes())
    data[20000:40000] = bytes(20000)
    try:
        clip = read_audio(bytes(data))
    except TalkingEyesError as error:
        assert "damaged" in error.message
    else:
        assert np.isfinite(clip.samples).all()


def test_a_clip_is_checked():
    with pytest.raises(TalkingEyesError, match="shape"):
        AudioClip(np.zeros((10, 2)))
    with pytest.raises(TalkingEyesError, match="shape"):
        AudioClip(np.zeros(0))
    with pytest.raises(TalkingEyesError, match="44100"):
        AudioClip(np.zeros(10), 44100)
    with pytest.raises(TalkingEyesError, match="not numbers"):
        AudioClip(np.array([0.0, np.nan]))
    assert AudioClip(np.zeros(10, np.float64)).samples.dtype == np.float32


def test_bytes_and_path_agree(tmp_path):
    soundfile.write(tmp_path / "x.ogg", tone(0.7, 22050), 22050)
    path: Path = tmp_path / "x.ogg"
    assert read_audio(path).digest == read_audio(str(path)).digest == read_audio(path.read_bytes()).digest
