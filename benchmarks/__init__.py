"""How fast the project is, against what a user could have picked instead, and how its cost grows.

`alternatives` and `scaling` are command lines. Outside the wheel; may import everything. What is measured runs in
`child` processes that take turns (`turns`); what they run is in `runners`.
"""
