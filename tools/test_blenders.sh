#!/bin/sh
# Run the tests that need Blender in each Blender that we support: tools/test_blenders.sh [VERSION...]
# Blender's modules come from PyPI into an environment each; the worker runs with the Python of .venv.
set -eu
cd "$(dirname "$0")/.."
worker=$(pwd)/.venv/bin/python
failed=""
# Those that need Blender and nothing that its Python lacks.
tests=$(grep -L '^import torch\|^import scipy\|^import soundfile\|blender.inference\|blender.training' \
    $(grep -l 'importorskip("bpy")' tests/test_*.py))
[ "$#" -gt 0 ] || set -- 4.2.23 4.5.15 5.0.1 5.2.3
for version in "$@"; do
    python=python3.11
    case $version in 5.1.* | 5.2.*) python=python3.13 ;; esac
    if ! command -v "$python" >/dev/null; then
        echo "bpy $version: $python is not installed, passed over"
        failed="$failed $version"
        continue
    fi
    environment=.venv-blender-$version
    if ! [ -f "$environment/.ready" ]; then
        "$python" -m venv "$environment"
        "$environment/bin/python" -m pip install -q "bpy==$version" pytest
        touch "$environment/.ready"
    fi
    began=$(date +%s)
    if TALKINGEYES_PYTHON=$worker OMP_NUM_THREADS=1 "$environment/bin/python" -m pytest -q -p no:cacheprovider \
        $tests tests/test_environment.py; then
        result=passed
    else
        result=FAILED
        failed="$failed $version"
    fi
    echo "bpy $version: $result in $(($(date +%s) - began)) s"
done
[ -z "$failed" ] || { echo "not passed:$failed"; exit 1; }
