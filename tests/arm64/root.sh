#!/bin/bash
# Unpacks Debian's Python for arm64 and the wheels of a device into build/arm64, for tests under emulation.
# Needs a Debian or Ubuntu machine, their package index, and pip. A second run does nothing.
set -euo pipefail
root=${1:-build/arm64}
mkdir -p "$root"
root=$(realpath "$root")
python=${PYTHON:-python3}
[ -e "$root/done-3" ] && exit 0
command -v qemu-aarch64-static >/dev/null || { echo "missing: apt-get install qemu-user-static" >&2; exit 1; }
. /etc/os-release
[ "${VERSION_CODENAME:-}" = bookworm ] || { echo "expected Debian 12 (bookworm), got ${PRETTY_NAME:-unknown}: its packages have Python 3.11" >&2; exit 1; }

# A package index of its own, so that this machine's does not change.
apt=$root/apt
mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/debs"
touch "$apt/status"
options=(-o APT::Architecture=arm64 -o APT::Architectures=arm64 -o "Dir::State=$apt" -o "Dir::State::lists=$apt/lists"
  -o "Dir::State::status=$apt/status" -o "Dir::Cache=$apt/cache" -o APT::Sandbox::User=root)
apt-get "${options[@]}" -qq update
(cd "$apt/debs" && apt-get "${options[@]}" -qq download libc6 libgcc-s1 libstdc++6 zlib1g libexpat1 libbz2-1.0 liblzma5 \
  libffi8 libssl3 libsqlite3-0 libuuid1 python3.11-minimal libpython3.11-minimal libpython3.11-stdlib)
for deb in "$apt"/debs/*.deb; do dpkg-deb -x "$deb" "$root/root"; done

# ONNX Runtime reads the processor here, and crashes on the host's, which is no Arm.
mkdir -p "$root/root/proc"
for core in 0 1; do
  printf 'processor\t: %s\nBogoMIPS\t: 108.00\nFeatures\t: fp asimd evtstrm crc32 cpuid\n' "$core"
  printf 'CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd08\nCPU revision\t: 3\n\n'
done >"$root/root/proc/cpuinfo"

platforms=(--platform manylinux_2_36_aarch64 --platform manylinux_2_31_aarch64 --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 --platform manylinux_2_26_aarch64
  --platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64)
rm -rf "$root/site"
"$python" -m pip install --quiet --target "$root/site" --only-binary=:all: --no-compile --python-version 3.11 \
  --implementation cp "${platforms[@]}" onnxruntime openvino opencv-python-headless numpy pillow tqdm tokenizers
touch "$root/done-3"
