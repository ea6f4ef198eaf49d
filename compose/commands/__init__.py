"""One module per command: its docstring is the help, `add_arguments(parser)` declares it, `run(args)` returns the exit status."""
