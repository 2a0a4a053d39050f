"""What a sandbox has under /workspace: the checkout, clean of credentials, and a layer that takes every write."""
