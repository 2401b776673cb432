"""Commands of the program, one module for each noun; __main__.py puts them together."""
