"""The vocabulary: every value that crosses a seam, frozen. One file for each part of the story:

    Event -> Decision -> RunSpec -> RunResult -> Output... -> Receipt

value (words and the base), event (what happened), task (what to do), sandbox (where), result (what came out),
output (what to write), decision (what it deserves), run (the record), model (talking to an LLM).
Imports nothing of ours. Words for state are GitHub's own check-run words (API page "Check runs"), so no table
maps one onto another.
"""
