"""HTML, plots and style of every page that the project writes."""
