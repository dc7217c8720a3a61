#!/bin/sh
# Fetch ONNX Runtime's C++ headers, which no wheel has, from Debian 13's libonnxruntime-dev (85 KB) into a folder.
# Newer libraries keep this older interface. Needs apt-get and dpkg-deb; changes nothing of the system.
set -eu
mkdir -p "$1/lists/partial" "$1/archives/partial"
cd "$1"
echo 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie main' > sources.list
set -- -q -o Dir::Etc::sourcelist="$PWD/sources.list" -o Dir::Etc::sourceparts=/nowhere -o Dir::State::lists="$PWD/lists" \
  -o Dir::Cache::archives="$PWD/archives" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= -o APT::Sandbox::User=root
apt-get "$@" update
apt-get "$@" download libonnxruntime-dev
dpkg-deb -x libonnxruntime-dev_*.deb .
rm -rf lists archives libonnxruntime-dev_*.deb
