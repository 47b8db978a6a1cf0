"""Private parts of the procedural scenes of ``fusionkd.datasets.scenes``."""
