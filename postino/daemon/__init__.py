"""The HTTP face and the composition root: one process per POSTINO_HOME."""
