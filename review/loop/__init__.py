"""The loop: base, mine, control and candidate, gate on validation, one look at test, report.

All state is in files: each step looks whether its result is there and whole, else makes it. So a killed loop goes on
where it was when the same command is run again, and `status` only has to look.
"""
