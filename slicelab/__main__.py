"""`python -m slicelab` is `slicelab`."""

from slicelab.cli import main

if __name__ == "__main__":
    main()
