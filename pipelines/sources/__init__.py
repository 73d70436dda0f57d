"""Where data comes from. A source is one file; adding one touches that file, the unions in `registry` and the docs."""
