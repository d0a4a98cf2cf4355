"""What leaves refsim for other tools: golden vectors for test benches, and NIR."""
