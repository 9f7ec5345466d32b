"""Responses of an experiment as units: voxels, electrodes, or whatever answers to stimuli as a whole."""
