"""The door to the network: routes, lifespan, health."""
