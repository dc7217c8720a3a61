"""GStreamer's RTSP server, as a program for the system's Python: port, frames a second, "user:password", certificate.

It serves ``/cam``, H.264 of pictures that tell their time, and ``/sound``, which has no video; with a certificate (PEM,
its key included) over TLS alone.
"""

from __future__ import annotations

import sys
from typing import Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtspServer  # noqa: E402

from tests.live.clock_picture import HEIGHT, WIDTH, grey, milliseconds  # noqa: E402

PORT, RATE, LOGIN, CERTIFICATE = sys.argv[1], int(sys.argv[2]), *[*sys.argv[3:], "", ""][:2]
CAMERA = (
    "( appsrc name=source is-live=true do-timestamp=true format=time "
    f"caps=video/x-raw,format=GRAY8,width={WIDTH},height={HEIGHT},framerate={RATE}/1 "
    "! videoconvert ! video/x-raw,format=I420 "
    f"! x264enc tune=zerolatency speed-preset=ultrafast key-int-max={RATE} bitrate=2000 "
    "! rtph264pay name=pay0 pt=96 config-interval=1 )"
)
SOUND = "( audiotestsrc is-live=true ! alawenc ! rtppcmapay name=pay0 pt=8 )"


def configure(_factory: Any, media: Any) -> None:
    """Send a picture at each tick for as long as anybody takes them."""
    source = media.get_element().get_by_name("source")

    def push() -> bool:
        return bool(source.emit("push-buffer", Gst.Buffer.new_wrapped(grey(milliseconds()))) == Gst.FlowReturn.OK)

    GLib.timeout_add(1000 // RATE, push)


def factory(launch: str, live: bool) -> Any:
    """Return what a path serves; one pipeline for all who ask."""
    made = GstRtspServer.RTSPMediaFactory()
    made.set_launch(launch)
    made.set_shared(True)
    if live:
        made.connect("media-configure", configure)
    if LOGIN or CERTIFICATE:
        permissions = GstRtspServer.RTSPPermissions()
        for name in ("media.factory.access", "media.factory.construct"):
            permissions.add_permission_for_role("viewer", name, True)
        made.set_permissions(permissions)
    return made


def protected() -> Any:
    """Return what asks for user and password, and speaks TLS, each where it is wanted."""
    auth, token = GstRtspServer.RTSPAuth(), GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "viewer")
    if LOGIN:
        user, _, password = LOGIN.partition(":")
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password), token)
    else:
        auth.set_default_token(token)
    if CERTIFICATE:
        auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(CERTIFICATE))
    return auth


Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(PORT)
mounts = server.get_mount_points()
mounts.add_factory("/cam", factory(CAMERA, True))
mounts.add_factory("/sound", factory(SOUND, False))
if LOGIN or CERTIFICATE:
    server.set_auth(protected())
if not server.attach(None):
    sys.exit("the port is taken")
print("ready", flush=True)
GLib.MainLoop().run()
