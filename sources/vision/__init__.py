"""Images as stimuli: vision models as subjects, picture folders as sources, masks, exemplars, ablation."""
