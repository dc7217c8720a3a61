"""Measuring a bundle on the machine that will run it; ``cgsam bench`` is the command line.

`plan` lists what is measured side by side, `rounds` runs it in child processes that take turns, `measurement` is the
result as plain data, and `prose` and `page` show it.
"""
