"""Options of a command that come from the environment and from a configuration file."""
