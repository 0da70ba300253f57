"""Retrieval: how well the images of a patient are found in a gallery, by query, on average, and by patient."""
