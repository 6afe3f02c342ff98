"""How a command shows its result: a JSON file, a table for 80 columns, figures, and one self-contained HTML page."""
