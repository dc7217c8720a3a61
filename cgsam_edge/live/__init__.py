"""Cameras and streams, objects that keep their number over frames, and videos that people can play.

`Camera` reads them, `video_writer` writes H.264 and VP9; both need the extra ``video`` but for local cameras. `Tracker`
and `Smoother` are behind ``Segmenter.stream_images(track=, smooth=)``.
"""
