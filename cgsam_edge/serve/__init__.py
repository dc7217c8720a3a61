"""`cgsam serve`: an HTTP server for one bundle, and the page that it shows. Needs the extra ``serve``."""
