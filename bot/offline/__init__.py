"""The offline model: what a repository's own past teaches, computed with numpy alone, without a network or a key.

Doors: `model.fit` and `model.judge` (type and labels), `index` (neighbours and duplicates), `files` (where to look).
It imports values, errors and protocols, and is the only room that imports numpy.
"""
