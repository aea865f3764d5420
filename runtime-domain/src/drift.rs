//! Divergence between what runs and what Git or Pulumi says should run.
