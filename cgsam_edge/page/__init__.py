"""The kit for every page that the project writes: HTML, plots and style."""
