"""Build the C++ library and run its tests: `python cpp/tools/check.py onnxruntime openvino sanitize`, and so on.

Engines come from wheels: ONNX Runtime's and OpenVINO's of this Python, and ONNX Runtime's of the other systems, which
are downloaded. What is missing on the machine is named, and the part skipped.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

CPP = Path(__file__).resolve().parents[1]
ROOT = CPP.parent
BUILD = ROOT / "build" / "cpp"
VECTORS = ROOT / "docs" / "vectors"
RESULTS = ROOT / "docs" / "devices" / "results"
JSON = Path("/usr/include/nlohmann")

CPUINFO = """\
processor\t: 0
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: 0xd08
CPU revision\t: 3
"""
"""A Cortex-A72's: ONNX Runtime reads it, and stops at that of another CPU."""


class Skip(Exception):  # noqa: N818 — not an error
    """Something is missing on this machine."""


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run(command: list[str | Path], **more: str) -> None:
    """Run a command, with some environment variables; end where it fails."""
    say(f"$ {' '.join(map(str, command))}")
    subprocess.run([str(word) for word in command], check=True, env={**os.environ, **more})  # noqa: S603


def need(*tools: str) -> None:
    """Skip where a program is missing."""
    for tool in tools:
        if not shutil.which(tool):
            raise Skip(f"{tool} is missing")


def json_include() -> Path:
    """Return a folder with nothing but the JSON header, which a cross-compiler may see."""
    if not (JSON / "json.hpp").exists():
        raise Skip("nlohmann/json.hpp is missing (Debian: nlohmann-json3-dev)")
    shutil.copytree(JSON, BUILD / "json" / "nlohmann", dirs_exist_ok=True)
    return BUILD / "json"


def headers() -> Path:
    """Return the folder of ONNX Runtime's headers: CGSAM_ONNXRUNTIME_INCLUDE, or fetched once."""
    given = os.environ.get("CGSAM_ONNXRUNTIME_INCLUDE")
    folder = Path(given) if given else BUILD / "headers" / "usr" / "include" / "onnxruntime"
    if not (folder / "onnxruntime_cxx_api.h").exists():
        need("apt-get", "dpkg-deb")
        try:
            run(["sh", CPP / "tools" / "headers.sh", BUILD / "headers"])
        except subprocess.CalledProcessError as error:
            raise Skip("ONNX Runtime's headers could not be fetched; set CGSAM_ONNXRUNTIME_INCLUDE") from error
    return folder


def package(name: str) -> Path:
    """Return the folder of an installed package."""
    found = importlib.util.find_spec(name)
    if not found or not found.origin:
        raise Skip(f"the package {name} is not installed")
    return Path(found.origin).parent


def wheel(platform: str) -> Path:
    """Return the folder with ONNX Runtime's library for another system, downloaded once."""
    version = importlib.metadata.version("onnxruntime")
    folder = BUILD / "wheels" / f"{platform}-{version}"
    if not folder.exists():
        partial = BUILD / "wheels" / "partial"
        shutil.rmtree(partial, ignore_errors=True)
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "--dest", partial]
        try:
            run([*command, "--python-version", "3.12", "--platform", platform, f"onnxruntime=={version}"])
        except subprocess.CalledProcessError as error:
            raise Skip(f"ONNX Runtime's wheel for {platform} could not be downloaded") from error
        with zipfile.ZipFile(next(partial.glob("*.whl"))) as archive:
            archive.extractall(folder)
    return folder / "onnxruntime" / "capi"


def linked(capi: Path, name: str) -> Path:
    """Return a folder with a shared library under the names that linkers and loaders look for."""
    folder = BUILD / "lib" / name
    folder.mkdir(parents=True, exist_ok=True)
    library = next(capi.glob("libonnxruntime.so.*"))
    for alias in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (folder / alias).unlink(missing_ok=True)
        (folder / alias).symlink_to(library.resolve())
    return folder


def build(name: str, *options: str, only: str = "all") -> Path:
    """Configure and build everything, or one target, and return the folder."""
    need("cmake")
    folder = BUILD / name
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    run(["cmake", "-S", CPP, "-B", folder, *generator, f"-DCGSAM_JSON_INCLUDE={json_include()}", *options])
    run(["cmake", "--build", folder, "--target", only, "--parallel", str(os.cpu_count() or 1)])
    return folder


def ort(name: str, *options: str, only: str = "all") -> tuple[Path, Path]:
    """Build on this Python's ONNX Runtime, and return the folder and that of the library."""
    need("c++")
    library = linked(package("onnxruntime") / "capi", "host")
    given = (f"-DCGSAM_ONNXRUNTIME_INCLUDE={headers()}", f"-DCGSAM_ONNXRUNTIME_LIBRARY={library}/libonnxruntime.so")
    return build(name, *given, *options, only=only), library


def vectors(start: list[str | Path], name: str, target: str, how: str = "hardware", **environment: str) -> None:
    """Run all vectors and keep the results."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    run([*start, VECTORS, "--results", RESULTS / f"{name}.json", "--target", target, "--how", how], **environment)


def onnxruntime() -> None:
    """The library on ONNX Runtime, installed and found too."""
    folder, library = ort("onnxruntime")
    vectors(
        [folder / "tests" / "cgsam_vectors"], "cpp-onnxruntime", "C++ on Linux x86-64", LD_LIBRARY_PATH=str(library)
    )
    prefix, consumer = BUILD / "installed", BUILD / "consumer"
    shutil.rmtree(consumer, ignore_errors=True)
    run(["cmake", "--install", folder, "--prefix", prefix])
    run(["cmake", "-S", CPP / "tests" / "consumer", "-B", consumer, f"-DCMAKE_PREFIX_PATH={prefix}"])
    run(["cmake", "--build", consumer])
    bundle = next((VECTORS / "bundles").iterdir())
    run([consumer / "consumer", bundle], LD_LIBRARY_PATH=str(library))


def openvino() -> None:
    """The library on OpenVINO."""
    need("c++")
    home = package("openvino")
    folder = build("openvino", "-DCGSAM_ENGINE=openvino", f"-DOpenVINO_DIR={home / 'cmake'}")
    start: list[str | Path] = [folder / "tests" / "cgsam_vectors"]
    vectors(start, "cpp-openvino", "C++ with OpenVINO on Linux x86-64", LD_LIBRARY_PATH=str(home / "libs"))


def sanitize() -> None:
    """Vectors, hostile bundles and mutated ones under the address and undefined behaviour sanitisers."""
    folder, library = ort("sanitize", "-DCGSAM_SANITIZE=ON", "-DCGSAM_EXAMPLE=OFF", "-DCMAKE_BUILD_TYPE=RelWithDebInfo")
    run(["ctest", "--test-dir", folder, "--output-on-failure"], LD_LIBRARY_PATH=str(library))


def fuzz() -> None:
    """A minute of libFuzzer on the parsers of manifests, archives and names, from the good files."""
    need("clang++")
    options = ("-DCMAKE_CXX_COMPILER=clang++", "-DCGSAM_FUZZ=ON", "-DCGSAM_EXAMPLE=OFF")
    folder, _ = ort("fuzz", *options, only="cgsam_libfuzzer")
    corpus = BUILD / "corpus"
    corpus.mkdir(exist_ok=True)
    for bundle in (VECTORS / "bundles").iterdir():
        for name in ("manifest.json", "vocabulary.npz"):
            shutil.copy(bundle / name, corpus / f"{bundle.stem}-{name}")
    run([folder / "tests" / "cgsam_libfuzzer", corpus, "-max_total_time=60", "-print_final_stats=1"])


def arm64() -> None:
    """The library for Arm, run by QEMU."""
    need("aarch64-linux-gnu-g++", "qemu-aarch64-static")
    library = linked(wheel("manylinux_2_28_aarch64"), "arm64")
    system = ["-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64", "-DCGSAM_EXAMPLE=OFF"]
    engine = [f"-DCGSAM_ONNXRUNTIME_INCLUDE={headers()}", f"-DCGSAM_ONNXRUNTIME_LIBRARY={library}/libonnxruntime.so"]
    folder = build("arm64", "-DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++", *system, *engine)
    root = BUILD / "arm64-root"
    (root / "proc").mkdir(parents=True, exist_ok=True)
    (root / "proc" / "cpuinfo").write_text(CPUINFO, encoding="utf-8")
    (root / "lib").unlink(missing_ok=True)
    (root / "lib").symlink_to("/usr/aarch64-linux-gnu/lib")
    start: list[str | Path] = [
        "qemu-aarch64-static",
        "-cpu",
        "cortex-a72",
        "-L",
        root,
        "-E",
        f"LD_LIBRARY_PATH={library}:{root}/lib",
    ]
    vectors([*start, folder / "tests" / "cgsam_vectors"], "cpp-arm64", "C++ on Linux arm64", "emulated")


def windows() -> None:
    """The library for Windows, run by Wine."""
    compiler = "x86_64-w64-mingw32-g++-posix"
    need(compiler)
    wine = shutil.which("wine64") or shutil.which("wine64", path="/usr/lib/wine")  # where Debian has it
    if not wine:
        raise Skip("wine64 is missing")
    capi = wheel("win_amd64")
    system = ["-DCMAKE_SYSTEM_NAME=Windows", "-DCMAKE_EXE_LINKER_FLAGS=-static", "-DCGSAM_EXAMPLE=OFF"]
    engine = [f"-DCGSAM_ONNXRUNTIME_INCLUDE={headers()}", f"-DCGSAM_ONNXRUNTIME_LIBRARY={capi / 'onnxruntime.dll'}"]
    folder = build("windows", f"-DCMAKE_CXX_COMPILER={compiler}", *system, *engine)
    for library in capi.glob("*.dll"):
        shutil.copy(library, folder / "tests")
    environment = {"WINEPREFIX": str(BUILD / "wine"), "WINEDEBUG": "-all"}
    start: list[str | Path] = [wine, folder / "tests" / "cgsam_vectors.exe"]
    vectors(start, "cpp-windows", "C++ on Windows x86-64 (Wine)", "emulated", **environment)


PARTS: dict[str, Callable[[], None]] = {
    part.__name__: part for part in (onnxruntime, openvino, sanitize, fuzz, arm64, windows)
}


def passed(name: str) -> bool:
    """Run a part, and say how it went; true where nothing failed."""
    try:
        PARTS[name]()
    except Skip as missing:
        say(f"skipped: {name}: {missing}")
    except subprocess.CalledProcessError as error:
        say(f"FAILED: {name}: exit code {error.returncode}")
        return False
    else:
        say(f"passed: {name}")
    return True


def main() -> int:
    """Run the parts asked for; 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parts = parser.parse_args().parts or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no part {', '.join(unknown)}; expected {', '.join(PARTS)}")
    failed = [name for name in parts if not passed(name)]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
