"""How fast the project is, against the alternatives that a user has, and how its cost grows.

`alternatives` and `scaling` are command lines. Outside the wheel; may import everything. Each contender runs in a
`child` process, and these take turns (`turns`); `runners` holds the ways to segment.
"""
