"""Measuring a bundle on the machine that shall run it; ``cgsam bench`` is its command line.

`plan` says what is measured side by side, `rounds` runs it in child processes that take turns, `measurement` is the
result as plain data, and `prose` and `page` show it.
"""
