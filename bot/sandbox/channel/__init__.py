"""How commands get into a sandbox and their output out of it, whatever the sandbox is made of."""
