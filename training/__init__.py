"""A small stand-in for upstream training: rendered street scenes, and models that write upstream's checkpoint layout."""
