"""A camera that serves Motion JPEG over HTTP, as a program: port, frames a second, "user:password", certificate.

It asks for a login, and speaks TLS, where these are not empty.
"""

from __future__ import annotations

import base64
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np

from tests.live.clock_picture import HEIGHT, WIDTH, grey, milliseconds

PORT, RATE = int(sys.argv[1]), float(sys.argv[2])
LOGIN, CERTIFICATE = [*sys.argv[3:], "", ""][:2]


WAV = b"RIFF\xff\xff\xff\x7fWAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\xff\xff\xff\x7f"


class Handler(BaseHTTPRequestHandler):
    """Serves ``/cam.mjpg``, a page, a sound, and nothing at all."""

    def do_GET(self) -> None:
        """Answer."""
        if LOGIN and self.headers.get("Authorization") != f"Basic {base64.b64encode(LOGIN.encode()).decode()}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
        elif self.path.startswith("/cam.mjpg"):
            self._stream()
        elif self.path == "/silent":
            time.sleep(60)
        elif self.path in ("/page", "/sound.wav"):
            self._send("text/html" if self.path == "/page" else "audio/wav")
        else:
            self.send_error(404)

    def _send(self, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(b"<html>no camera</html>" if kind == "text/html" else WAV + bytes(16000))

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        due = time.monotonic()
        while True:
            image = np.frombuffer(grey(milliseconds()), np.uint8).reshape(HEIGHT, WIDTH)
            data = cv2.imencode(".jpg", image)[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            self.wfile.write(head.encode() + data + b"\r\n")
            due += 1 / RATE
            time.sleep(max(0.0, due - time.monotonic()))

    def log_message(self, *_: object) -> None:
        """Print nothing."""


ThreadingHTTPServer.daemon_threads = True
server = ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
if CERTIFICATE:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)
    server.socket = context.wrap_socket(server.socket, server_side=True)
print("ready", flush=True)
server.serve_forever()
