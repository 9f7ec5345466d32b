"""Labelling while processes are killed, disks fill, clocks jump and a network does its worst."""
