"""`python -m curate` is `curate`: for launchers that start a module, as torchrun does."""

from curate.cli import main

if __name__ == "__main__":
    main()
