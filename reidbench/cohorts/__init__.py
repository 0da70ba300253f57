"""Tables of images and patients, their pixels, splits and pairs. Knows nothing of defenses and networks."""
