"""refsim against itself: any backend against the specification, golden results, exact counts. No Hypothesis."""
