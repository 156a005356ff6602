"""What runs inside an environment: one script a library, each told by a job what to do.

Only `gauge` is imported by all of them; it needs the standard library alone, so that it loads in
every environment.
"""
