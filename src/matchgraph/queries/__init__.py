"""Answer something, from read models and history. Beside commands: neither imports the other."""
