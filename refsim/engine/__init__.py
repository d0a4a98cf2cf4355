"""The event engine: a network becomes a plan, a batch of images becomes spikes and counts."""
