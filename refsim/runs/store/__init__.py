"""Run directories: results that survive whatever ends the process that makes them (docs/reliability.md)."""
