"""A message body for people: Markdown as a tree of tags and texts, which no reader has to parse again.

`markdown_it` and `pygments` are imported when the first body is rendered: starting postino costs nothing for them.
"""
