"""The daemon: one process per POSTINO_HOME that serves HTTP and the relays."""
