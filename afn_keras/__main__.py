"""Runs `afn` as `python -m afn_keras`."""

from afn_keras.commands.afn import main

main()
