"""Version 2 of the phantom: patients more alike, visits more different, and images closer to those of hospitals.

The projection, the skeleton, the vessels, the findings and the table are those of version 1. New are the traits' means
and spreads, tissue and lung texture, smooth deformations of patients and visits, and everything behind the detector.
"""
