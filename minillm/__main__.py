"""The command line: python -m minillm VERB. See `cli` for the verbs."""

from .cli import main

if __name__ == "__main__":
    main()
