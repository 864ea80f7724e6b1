"""`python -m dagame.bench` is the command `dagame-bench`."""

from . import main

if __name__ == "__main__":
    main()
