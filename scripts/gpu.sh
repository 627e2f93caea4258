#!/bin/bash
# Everything that wants a GPU, in one go: the tests, the costs of scoring a model of LLaMA-7B's shape with its weights on
# the GPU and in main memory, and Table 5's times dense against cut. The model is 13.5 GB, and two cut ones lie beside it
# at the end.
#
#     bash scripts/gpu.sh FOLDER        # python as it is found; results and log go to FOLDER
set -u
out=${1:?give a folder for the results}
python=${PYTHON:-python}
mkdir -p "$out"
"$python" -m pytest -q tests/test_cuda.py 2>&1 | tee "$out/tests.log"
[ -d "$out/random-7b" ] || "$python" -m scripts.make_random "$out/random-7b" --dtype bfloat16
"$python" -m scripts.measure_gpu --model "$out/random-7b" --device cuda --out "$out/measured.jsonl" 2>&1 \
    | tee "$out/measured.log"
