"""A server on loopback that plays GitHub with state, and one that plays a model: `server.py` and `model_server.py`.

Repositories are real bare git repositories, every request is checked against GitHub's published description
(`tests/data/github_openapi.json`), and faults can be planted. Import from the file that defines a thing.
"""
