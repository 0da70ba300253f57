"""Two runs on the same test images: the strongest attack of each, and what lies between them."""
