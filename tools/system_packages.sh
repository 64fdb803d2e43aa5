#!/bin/sh
# System libraries that the tests and the demo need: installed through apt where that is allowed, else named.
# Usage: system_packages.sh PYTHON
set -eu
python=${1:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || {
  echo "Python 3.11 is needed (bpy 5.0.1 has wheels for it alone); name it with: make setup PYTHON=/path/to/python3.11" >&2
  exit 1
}
[ "$(uname -s)" = Linux ] || exit 0

# bpy needs the X libraries even without a display; EGL and Mesa render without one; the speech programs make the corpus.
missing=""
need() { # need LIBRARY PACKAGE
  ldconfig -p 2>/dev/null | grep -q "$1" || missing="$missing $2"
}
need libX11.so.6 libx11-6
need libXrender.so.1 libxrender1
need libXfixes.so.3 libxfixes3
need libXi.so.6 libxi6
need libXxf86vm.so.1 libxxf86vm1
need libxkbcommon.so.0 libxkbcommon0
need libSM.so.6 libsm6
need libGL.so.1 libgl1
need libEGL.so.1 libegl1
need libgomp.so.1 libgomp1
need libespeak-ng.so.1 espeak-ng
[ -e /usr/lib/x86_64-linux-gnu/dri/swrast_dri.so ] || ls /usr/lib/*/dri/*swrast* /usr/lib/*/libgallium* >/dev/null 2>&1 || missing="$missing libgl1-mesa-dri"
command -v flite >/dev/null || missing="$missing flite"
[ -n "$missing" ] || exit 0

if command -v apt-get >/dev/null; then
  sudo=""
  [ "$(id -u)" = 0 ] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null && sudo="sudo -n" || sudo=none; }
  if [ "$sudo" != none ]; then
    echo "Installing$missing"
    $sudo apt-get update -qq
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing
    exit 0
  fi
fi
echo "These system packages are missing (Debian's names):$missing" >&2
echo "Install them and run the command again." >&2
exit 1
