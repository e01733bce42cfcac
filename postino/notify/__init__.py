"""Notifies people of what needs one of them while nobody looks, by any address that Apprise knows."""
