"""What runs already, asked by a command: engines without an objectives file, and the SLO service."""
