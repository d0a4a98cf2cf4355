"""Reports: one typed record for each schema, made of numbers that are already there."""
