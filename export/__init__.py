"""From a checkpoint to a bundle: reading, the reference model, fusion, the graphs and one converter per target."""
