"""The command line of each command, which imports what it needs as late as it can."""
