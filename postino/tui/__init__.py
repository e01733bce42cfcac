"""The terminal inbox: what waits for a person, the mail of all agents, threads and broadcasts, in three panes."""
