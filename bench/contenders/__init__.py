"""What is measured: each module is one program, started fresh for each measurement, that prints JSON."""
