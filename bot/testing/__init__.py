"""Fakes and contract suites, shipped with the package, never imported by the rooms."""
