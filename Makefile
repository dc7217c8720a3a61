# Each of these does all of its own set-up, in .venv; a second run starts at once.
PYTHON ?= python3
BIN := .venv/bin
DEMO := demo

# A machine without a display lacks libraries that the ordinary OpenCV wants: it gets OpenCV without its display functions.
OPENCV = $(BIN)/python -c 'import cv2' 2>/dev/null || { \
	$(BIN)/python -m pip uninstall --quiet --yes opencv-python; \
	$(BIN)/python -m pip install --quiet --force-reinstall --no-deps 'opencv-python-headless>=4.9,<6'; }

.PHONY: demo test fast test-tools test-serve-tools docs pictures web test-web test-webgpu test-cpp test-cpp-arm64 test-cpp-windows test-swift test-arm64 clean

.venv/.installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@$(OPENCV)
	touch $@

.venv/.device: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[onnxruntime]'
	@$(OPENCV)
	touch $@

demo: .venv/.device  ## the first mask, then an export of the same model that segments the same scene
	$(BIN)/cgsam demo --output $(DEMO) >/dev/null
	@echo "first masks: $(DEMO)/street.overlay.png. Now PyTorch is installed (7 GB), to export that model."
	@$(MAKE) --no-print-directory .venv/.installed
	$(BIN)/cgsam-export --concepts examples/concepts.txt --output $(DEMO)/street.cgsam
	$(BIN)/cgsam demo --bundle $(DEMO)/street.cgsam --output $(DEMO)

docs: .venv/.installed  ## the documentation, as a site in site/; fails on a broken link
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "open site/index.html"

pictures: .venv/.installed  ## the pictures of README, docs and demo again, after a change of the reference model
	$(BIN)/python -m benchmarks.pictures

test: .venv/.installed  ## all tests, the full-size ones too, side by side as far as cores and memory go
	$(BIN)/python -m pytest --durations=10

fast: .venv/.installed  ## what to run while working
	$(BIN)/python -m pytest -m 'not slow'

.tools/.installed:  # tools whose libraries do not go beside ours, such as an older Pillow and another OpenCV
	$(PYTHON) -m venv .tools
	.tools/bin/python -m pip install --quiet --upgrade pip
	.tools/bin/python -m pip install --quiet 'datumaro>=1.13' 'labelme>=5.2' label-studio-sdk supervision rasterio shapely pycocotools
	.tools/bin/python -m pip install --quiet --no-deps ultralytics ultralytics-thop
	.tools/bin/python -m pip install --quiet torch torchvision psutil polars
	touch $@

.tools/serve/.installed: pyproject.toml  # label-studio-sdk brings another OpenCV too, which replaces ours in this Python
	$(PYTHON) -m venv .tools/serve
	.tools/serve/bin/python -m pip install --quiet --upgrade pip
	.tools/serve/bin/python -m pip install --quiet --editable '.[onnxruntime,serve,labels]' \
	  filelock psutil pycocotools pytest pytest-timeout 'schemathesis>=4' cvat-sdk label-studio-sdk shapely
	.tools/serve/bin/python -m pip uninstall --quiet --yes opencv-python
	.tools/serve/bin/python -m pip install --quiet --force-reinstall --no-deps 'opencv-python-headless>=4.9,<6'
	touch $@

test-serve-tools: .tools/serve/.installed  ## the server, by Schemathesis and by the libraries of CVAT and Label Studio
	.tools/serve/bin/python -m pytest -o addopts= -rs tests/serve/test_examples.py tests/serve/test_interface.py \
	  tests/runtime/test_outlines.py

test-tools: test-serve-tools .venv/.installed .tools/.installed  ## data sets too, read by the tools that they are for (7 GB of them)
	CGSAM_TOOLS_PYTHON=$(CURDIR)/.tools/bin/python $(BIN)/python -m pytest tests/datasets/test_tools.py -rs

test-cpp: .venv/.installed  ## the C++ library on this machine, both engines, sanitisers and a minute of fuzzing
	$(BIN)/python cpp/tools/check.py onnxruntime openvino sanitize fuzz

test-cpp-arm64: .venv/.installed  ## the C++ library for Arm, under QEMU
	$(BIN)/python cpp/tools/check.py arm64

test-cpp-windows: .venv/.installed  ## the C++ library for Windows, under Wine
	$(BIN)/python cpp/tools/check.py windows

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	cd web && npm ci
	touch $@

web: .venv/.installed web/node_modules/.package-lock.json  ## the page for browsers, with the reference model, in web/dist/page
	cd web && npm run build
	$(BIN)/python -m tests.web.supplies
	@echo "put web/dist/page on any host of static files, or: cd web/dist/page && python3 -m http.server"

test-web: web  ## the page and its package, in Node and in Chromium
	cd web && npm run check && npm test
	CGSAM_BROWSER=1 $(BIN)/python -m pytest -n 0 tests/serve/test_page.py

test-webgpu: web  ## the test vectors with WebGPU on a software adapter, and their results for the documents; takes minutes
	cd web && CGSAM_WEBGPU=1 CGSAM_WRITE_RESULTS=1 npm run test:browser

test-swift: .venv/.installed  ## the Swift package: on a Mac with Core ML, on Linux against a stand-in
	@test -d build/cpp/headers/usr || ! command -v apt-get > /dev/null || sh cpp/tools/headers.sh build/cpp/headers
	sh examples/swift/test.sh build/cpp/headers/usr/include/onnxruntime "$$($(BIN)/python -c 'import glob, onnxruntime; \
	  print(glob.glob(onnxruntime.__path__[0] + "/capi/libonnxruntime.so.1*")[0])' 2>/dev/null)"
test-arm64: .venv/.installed  ## the device half on an emulated arm64; the first time, it unpacks that into build/arm64
	PYTHON=$(BIN)/python tests/arm64/root.sh build/arm64
	$(BIN)/python -m tests.arm64

clean:
	rm -rf .venv .tools $(DEMO) build dist site web/dist web/node_modules web/tests/data *.egg-info
