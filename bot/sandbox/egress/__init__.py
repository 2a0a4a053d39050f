"""The way out of a `restricted` sandbox: a proxy that judges every request. No route, no resolver, no gateway."""
