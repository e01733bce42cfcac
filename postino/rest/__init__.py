"""The HTTP face: routes, parsing, answers, admission, events and the files of the page."""
