"""Events in, read models out; one module per read model, and the runner that feeds them."""
