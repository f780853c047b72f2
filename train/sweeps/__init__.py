"""Many runs: grids of options, their table, and the list of all runs."""
