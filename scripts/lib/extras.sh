# shellcheck shell=bash
# The extras as users install them: each in its own environment that already has TensorFlow 2.15,
# which must still work afterwards. Sourced from the root of the repository, after pythons.sh.

EXTRAS=.venv-extras

# install_extra PYTHON EXTRA: creates an environment with TensorFlow 2.15, then installs the wheel
# with that extra. With onnx it installs both in one command, as in docs/convert.md.
install_extra() {
  local home=$EXTRAS/$2 wheel tensorflow constraints=()
  tensorflow=$(grep "^tensorflow==" requirements/host-keras2.txt)
  # PyArrow 26 needs NumPy 2 without declaring it to pip; TensorFlow 2.15 needs NumPy 1.
  if [[ $2 == parquet ]]; then constraints=('pyarrow<26'); fi
  wheel=$(newest_wheel "$1") || return
  "$1" -m venv --clear "$home" || return
  if [[ $2 == convert,onnx ]]; then
    "$home/bin/python" -m pip install "${wheel}[$2]" "$tensorflow" 'onnx<1.19' || return
  else
    "$home/bin/python" -m pip install "$tensorflow" || return
    "$home/bin/python" -m pip install "${wheel}[$2]" "${constraints[@]}" || return
  fi
  "$home/bin/python" -m pip check
}

# check_extra EXTRA: checks TensorFlow and the commands that the extra provides.
check_extra() {
  local bin folder
  bin=$(realpath "$EXTRAS/$1/bin")
  folder=$(mktemp -d)
  TF_CPP_MIN_LOG_LEVEL=3 "$bin/python" - "$folder" <<'PYTHON' || return
import sys
import tensorflow as tf
from memattn import MemoryAugmentedAttention
layer = MemoryAugmentedAttention(4, 3, 2, seed=0)
layer.save(f"{sys.argv[1]}/layer.safetensors")
print(tf.__version__, float(tf.reduce_sum(tf.keras.layers.Dense(2)(tf.ones((1, 4))))))
with open(f"{sys.argv[1]}/sales.csv", "w") as file:
    file.write("ds,y\n" + "".join(f"{k},{k % 7}\n" for k in range(60)))
with open(f"{sys.argv[1]}/days.csv", "w") as file:
    file.write("ds,y\n" + "".join(f"2024-01-{k:02d},{k % 7}\n" for k in range(1, 29)))
PYTHON
  case $1 in
    convert | forecast | convert,onnx)
      "$bin/memattn" --version && "$bin/memattn" --help >/dev/null || return
      "$bin/memattn" inspect --quiet "$folder/layer.safetensors" || return
      "$bin/memattn" doctor "$folder/layer.safetensors" || return
      "$bin/memattn" convert "$folder/layer.safetensors" "$folder/layer.npz" || return
      ;;&
    convert | convert,onnx)
      "$bin/memattn" convert "$folder/layer.npz" "$folder/layer.weights.h5" || return
      "$bin/memattn" doctor "$folder/layer.weights.h5" || return
      ;;&
    convert,onnx) "$bin/memattn" convert "$folder/layer.npz" "$folder/layer.onnx" || return ;;
    forecast)
      "$bin/memattn" forecast "$folder/sales.csv" --horizon 7 --steps 5 --report "$folder/report.html" \
        --output "$folder/next.csv" || return
      ;;
    calendar,forecast)
      "$bin/memattn" forecast "$folder/days.csv" --horizon 7 --steps 5 --calendar --country NO \
        --output "$folder/next.csv" || return
      ;;
    parquet | polars)
      "$bin/python" - "$folder" "$1" <<'PYTHON' || return
import sys
from memattn.forecast import panel_from_file
folder, extra = sys.argv[1:]
if extra == "polars":
    import polars
    polars.read_csv(f"{folder}/sales.csv").write_parquet(f"{folder}/sales.parquet")
else:
    from pyarrow import csv, parquet
    parquet.write_table(csv.read_csv(f"{folder}/sales.csv"), f"{folder}/sales.parquet")
print(panel_from_file(f"{folder}/sales.parquet"))
PYTHON
      ;;
  esac
  rm -r "$folder"
}

# test_extras: tests all extras; TensorFlow 2.15 has wheels for Python 3.11 at most.
test_extras() {
  local python extra
  if ! python=$(find_python 3.11); then
    printf 'not tested: no Python 3.11 was found (PYTHONS="/path/to/python3.11 ...")\n'
    return
  fi
  for extra in convert forecast parquet polars calendar,forecast convert,onnx; do
    printf '== %s\n' "$extra"
    install_extra "$python" "$extra" && check_extra "$extra" || return
  done
}
