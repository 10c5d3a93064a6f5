"""Charts as SVG, drawn on the server: what is shown is data, and drawing it knows no run."""
