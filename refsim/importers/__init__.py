"""From other formats to a `Network`: an importer returns a `Network` and touches nothing else."""
