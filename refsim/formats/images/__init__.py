"""Images: data sets in the forms in which people have them."""
