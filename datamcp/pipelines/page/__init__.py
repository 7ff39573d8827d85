"""A run as one HTML file that needs nothing else.

- `text`: markup in which every text is escaped, and numbers for people
- `marks`: the colour, symbol and word of each state
- `facts`: what all parts need to know of a run
- `head`, `table`, `more`: its head, its steps, its errors, attempts and logs
- `condense`, `layout`, `places`, `dag`: its graph, with few enough boxes
- `axis`, `gantt`: when each step waited, and when it ran
- `style`: how it looks
- `page`: the page, of all these parts
"""
