#!/bin/sh
# Make assets/speech.flac, the sample that the demo speaks: the voice slt of flite (both under permissive licences).
set -eu
cd "$(dirname "$0")/.."
wave=$(mktemp --suffix=.wav)
flite -voice slt --setf duration_stretch=1.08 -o "$wave" -t "Hello! I move my lips, my head and my eyes, and all I was given is this voice. \
Maybe Bob will buy a big blue boat in the summer. \
Hm, who knows? Look around, think it over, and make me say whatever you please."
"${RUN:-.venv/bin/python}" - "$wave" talkingeyes_blender/assets/speech.flac <<'P'
import sys
import soundfile
samples, rate = soundfile.read(sys.argv[1], dtype="int16")
soundfile.write(sys.argv[2], samples, rate, format="FLAC")
print(len(samples) / rate, "s at", rate, "Hz")
P
rm "$wave"
