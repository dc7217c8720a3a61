"""Cameras, streams, and videos that people can play.

`Camera` reads them, `video_writer` writes H.264 and VP9; both need the extra ``video`` but for local cameras.
"""
