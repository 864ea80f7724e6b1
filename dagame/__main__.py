"""`python -m dagame`."""

from .apps.cli import main

if __name__ == "__main__":
    main()
