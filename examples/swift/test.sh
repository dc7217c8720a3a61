#!/bin/sh
# Build the package and run all test vectors. On a Mac with Core ML itself; on Linux against the stand-in in Stub/, over ONNX
# Runtime: `test.sh HEADERS LIBRARY` (folder of onnxruntime_c_api.h, the shared library). Where this machine has no Swift,
# CGSAM_SWIFT_ROOT may name a Debian 13 with swiftlang, libc6-dev and libstdc++-14-dev, made by debootstrap; that needs root.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
vectors=$here/../../docs/vectors
results=$here/../../docs/devices/results
if [ "$(uname)" = Darwin ]; then
  exec swift run --package-path "$here" -c release cgsam-vectors "$vectors" --results "$results/swift-coreml.json" \
    --target "Swift on a Mac" --how hardware
fi
root=${CGSAM_SWIFT_ROOT:-}
if [ -z "$root" ] && ! command -v swift > /dev/null; then
  echo "skipped: swift is missing, and CGSAM_SWIFT_ROOT names no Debian that has it"
  exit 0
fi
if [ ! -f "$1/onnxruntime_c_api.h" ] || [ ! -f "$2" ]; then
  echo "skipped: ONNX Runtime's headers or library are missing ($1, $2)"
  exit 0
fi
work=$root/tmp/cgsam-swift
mkdir -p "$work"
rm -rf "$work/package" "$work/vectors" "$work/ort"
cp -r "$here" "$work/package"
cp -r "$vectors" "$work/vectors"
mkdir "$work/ort"
cp -r "$1" "$work/ort/include"
cp "$2" "$work/ort/libonnxruntime.so.1"
ln -s libonnxruntime.so.1 "$work/ort/libonnxruntime.so"
inside="cd /tmp/cgsam-swift && swift build -c release --package-path package --build-path build -Xcc -I/tmp/cgsam-swift/ort/include \
-Xlinker -L/tmp/cgsam-swift/ort && LD_LIBRARY_PATH=/tmp/cgsam-swift/ort build/release/cgsam-vectors vectors --results results.json \
--target 'Swift on Linux x86-64, Core ML replaced by a stand-in' --engine 'ONNX Runtime behind the stand-in' --how software"
if [ -n "$root" ]; then
  chroot "$root" env -i HOME=/root PATH=/usr/bin:/bin LANG=C.UTF-8 sh -c "$inside"
else
  sh -c "$inside"
fi
mkdir -p "$results"
cp "$work/results.json" "$results/swift-linux.json"
