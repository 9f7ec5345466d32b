"""`python -m neurogloss` is the command `neurogloss`."""

from neurogloss.cli import main

main()
